"""What a process asks before it takes up work, and what it makes of the answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kafka.errors import CoordinatorNotAvailableError, GroupAuthorizationFailedError

from pipeline import admission
from pipeline.admission import admit
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

REFUSED, MISSING = 29, 3
"""The protocol's codes for a topic that we may not see, and for one that is not there."""


class Broker:
    """An admin client that answers as it is told: rights of each topic or a code, then what the group leads to, call by call."""

    def __init__(self, topics: dict[str, Any], *group: Any) -> None:
        self._topics = topics
        self._group = list(group)

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        if ValueError in self._topics.values():
            raise ValueError("15 is not a valid ACLOperation")
        return [{"name": name, "error_code": 0, "authorized_operations": None, **self._topics[name]} for name in names]

    def describe_groups(self, names: list[str]) -> dict[str, Any]:
        answer = self._group.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {name: {"authorized_operations": answer} for name in names}


def ask(monkeypatch: pytest.MonkeyPatch, broker: Broker | None, **changes: Any) -> None:
    """Seek admission to read `in`, write `out` and join `group`."""

    @contextmanager
    def admin(_: Settings) -> Iterator[Broker]:
        assert broker is not None, "nobody was to be asked"
        yield broker

    monkeypatch.setattr(admission, "admin", admin)
    settings = Settings(**{"kafka_security_protocol": "SASL_SSL", "kafka_sasl_username": "bob", **changes})
    admit(settings, reads=["in"], writes=["out"], group="group")


ALL: dict[str, Any] = {"in": {"authorized_operations": ["READ"]}, "out": {"authorized_operations": ["WRITE", "DESCRIBE"]}}


@pytest.mark.parametrize(
    ("topics", "group"),
    [
        (ALL, ["READ"]),
        (ALL, None),  # an old broker does not tell
        ({"in": {}, "out": {}}, ["READ"]),
        ({"in": {"error_code": MISSING, "authorized_operations": ["READ"]}, "out": ALL["out"]}, ["READ"]),  # to be created yet
        ({"in": ValueError, "out": {}}, ["READ"]),  # a new broker tells of rights that nobody knew
        (ALL, ValueError("15 is not a valid ACLOperation")),
    ],
)
def test_who_has_all_rights_is_admitted_and_so_is_who_cannot_know(
    monkeypatch: pytest.MonkeyPatch, topics: dict[str, Any], group: Any
) -> None:
    ask(monkeypatch, Broker(topics, group))


@pytest.mark.parametrize(
    ("topics", "group", "lacking"),
    [
        ({**ALL, "in": {"authorized_operations": ["DESCRIBE"]}}, ["READ"], "Read on topic in"),
        ({**ALL, "out": {"error_code": REFUSED}}, ["READ"], "Write on topic out"),
        (ALL, ["DESCRIBE"], "Read on group group"),
        (ALL, GroupAuthorizationFailedError("group"), "Read on group group"),
        (
            {"in": {"error_code": REFUSED}, "out": {"authorized_operations": []}},
            [],
            "Read on topic in, Write on topic out, Read on group group",
        ),
    ],
)
def test_every_missing_right_is_named(monkeypatch: pytest.MonkeyPatch, topics: dict[str, Any], group: Any, lacking: str) -> None:
    with pytest.raises(ConfigurationError, match=f"user bob lacks rights: {lacking};"):
        ask(monkeypatch, Broker(topics, group))


def test_what_canaries_need_is_asked_for_where_they_are_on(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = ALL | {"llmos.replies.canary": {"error_code": REFUSED}, "llmos.jobs": {"authorized_operations": ["READ"]}}
    lacking = r"user bob lacks rights: Read on topic llmos\.replies\.canary, Write on topic llmos\.jobs;"
    with pytest.raises(ConfigurationError, match=lacking):
        ask(monkeypatch, Broker(topics, ["READ"]), canary_every_s=30)


def test_a_broker_without_groups_so_far_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, Broker(ALL, CoordinatorNotAvailableError(), CoordinatorNotAvailableError(), ["READ"]))


def test_a_connection_without_a_user_has_no_rights_to_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ask(monkeypatch, None, kafka_security_protocol="PLAINTEXT", kafka_sasl_username=None)
