"""What must be so before a gateway serves: a folder of its own, a port that it may have, topics and rights in Kafka."""

import socket
from pathlib import Path

import pytest

from pipeline.gateway import place as place_module
from pipeline.gateway.place import kafka_is_ready, listening, own_folder, url_of
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from tests.support.fake_kafka import FakeKafka

NEEDED = ("llmos.jobs", "llmos.results", "llmos.dead-letters", "llmos.replies.gateway")


def settings(tmp_path: Path, **changes: object) -> Settings:
    given = {"kafka_bootstrap": "broker:9092", "state_dir": tmp_path, "http_port": 0, "kafka_delivery_timeout_ms": 1, **changes}
    return Settings(**given)


def test_two_gateways_never_share_a_folder_and_the_next_may_have_it_later(tmp_path: Path) -> None:
    with own_folder(settings(tmp_path)) as folder:
        assert folder == tmp_path / "gateway" / "gateway"
        assert folder.stat().st_mode & 0o077 == 0, "others have no business there"
        with pytest.raises(ConfigurationError, match="runs already"), own_folder(settings(tmp_path)):
            pytest.fail("two at once")
        with own_folder(settings(tmp_path, instance_id="other")) as another:
            assert another != folder
    with own_folder(settings(tmp_path)):
        pass


def test_it_listens_on_loopback_and_tells_where(tmp_path: Path) -> None:
    with listening(settings(tmp_path), keys=False) as listener:
        host, port = listener.getsockname()
        assert (host, url_of(listener)) == ("127.0.0.1", f"http://127.0.0.1:{port}")
        socket.create_connection((host, port), timeout=5).close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_this_machines_own_addresses_need_no_keys(tmp_path: Path, host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with listening(settings(tmp_path, http_host=host), keys=False) as listener:
        assert url_of(listener).startswith("http://[::1]:" if ":" in listener.getsockname()[0] else "http://127.0.0.")


@pytest.mark.parametrize(
    ("changes", "keys"), [({}, True), ({"http_insecure": True}, False)], ids=["with keys", "where a person says so"]
)
def test_it_listens_wider_than_this_machine(tmp_path: Path, changes: dict[str, object], *, keys: bool) -> None:
    with listening(settings(tmp_path, http_host="0.0.0.0", **changes), keys=keys) as listener:  # noqa: S104
        assert listener.getsockname()[0] == "0.0.0.0"  # noqa: S104


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])  # noqa: S104
def test_without_keys_it_refuses_to_listen_wider_than_this_machine(tmp_path: Path, host: str) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"without API keys.*--insecure"),
        listening(settings(tmp_path, http_host=host), keys=False),
    ):
        pytest.fail("anybody could use it")


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with listening(settings(tmp_path), keys=False) as listener:
        port = listener.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match=rf"port {port}: Address already in use"),
            listening(settings(tmp_path, http_port=port), keys=False),
        ):
            pytest.fail("it is taken")


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host"])
def test_an_address_that_is_not_ours_is_named(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match=host), listening(settings(tmp_path, http_host=host), keys=True):
        pytest.fail("it is not ours")


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**dict.fromkeys(NEEDED, 1))
    kafka.install(monkeypatch)
    return kafka


def test_with_all_topics_there_it_may_begin(kafka: FakeKafka, tmp_path: Path) -> None:
    kafka_is_ready(settings(tmp_path))


@pytest.mark.parametrize("missing", NEEDED)
def test_a_topic_that_is_missing_is_named_with_the_command_that_makes_it(kafka: FakeKafka, tmp_path: Path, missing: str) -> None:
    del kafka.topics[missing]
    expected = rf"do not exist: {missing}; create them with `llmos topics create --gateway gateway`"
    with pytest.raises(ConfigurationError, match=expected):
        kafka_is_ready(settings(tmp_path))


def test_each_gateway_asks_for_a_reply_topic_of_its_own(kafka: FakeKafka, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"llmos\.replies\.b;.*--gateway b`"):
        kafka_is_ready(settings(tmp_path, instance_id="b"))


def test_topics_that_are_just_being_made_are_waited_for(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del kafka.topics["llmos.replies.gateway"]
    monkeypatch.setattr(place_module.time, "sleep", lambda _: kafka.topics.update({"llmos.replies.gateway": [[]]}))
    kafka_is_ready(settings(tmp_path, kafka_delivery_timeout_ms=60_000))


def test_the_rights_that_are_asked_for_are_those_that_are_used(
    kafka: FakeKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}
    monkeypatch.setattr(place_module, "admit", lambda _, **rights: asked.update(rights))
    kafka_is_ready(settings(tmp_path))
    assert asked == {"reads": ["llmos.replies.gateway", "llmos.results", "llmos.dead-letters"], "writes": ["llmos.jobs"]}
