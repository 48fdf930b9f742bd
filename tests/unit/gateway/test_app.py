"""The app as a whole: three dialects of errors, a lifespan that starts and stops every part, and no way in without a key."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.gateway import app as app_module
from pipeline.gateway.contract import Late, Overloaded, Unavailable
from tests.support.front import Gateway, make_gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


@pytest.mark.parametrize(
    ("path", "google"),
    [
        *(("/none", False), ("/v1/none", False), ("/v1/jobs/none", False), ("/livez/", False)),
        *(("/v1alpha1/none", True), ("/v1alpha1/comments:none", True), ("/batch/none", True), ("/$discovery/none", True)),
    ],
)
def test_what_is_not_there_is_said_in_the_words_of_its_api(gateway: Gateway, path: str, *, google: bool) -> None:
    with gateway.client(follow_redirects=False) as client:
        reply = client.get(path)
    assert reply.status_code == 404
    assert ("status" in reply.json()["error"]) is google
    assert ("param" in reply.json()["error"]) is not google


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("PUT", "/v1/jobs", "POST"), ("PATCH", "/v1/files", "GET, POST"), ("GET", "/batch", "POST"), ("POST", "/livez", "GET")],
)
def test_a_method_that_a_path_does_not_know_is_405_and_names_those_it_does(
    gateway: Gateway, method: str, path: str, allowed: str
) -> None:
    with gateway.client() as client:
        reply = client.request(method, path)
    assert (reply.status_code, reply.headers["allow"]) == (405, allowed)


ANALYZE = {"comment": {"text": "hello"}, "requestedAttributes": {"TOXICITY": {}}}
ASKING = [
    ("/v1/jobs?wait=1", {"text": "hello"}),
    ("/v1/moderations", {"input": "hello"}),
    ("/v1alpha1/comments:analyze", ANALYZE),
]
TROUBLE = [(Overloaded(2), 429), (Unavailable("away"), 503), (Late(["a"]), 504)]


@pytest.mark.parametrize(
    ("path", "body", "error", "status"),
    [
        *((path, body, error, status) for path, body in ASKING for error, status in TROUBLE),
        *(("/v1/jobs", {"text": "hello"}, error, status) for error, status in TROUBLE[:2]),
    ],
)
def test_trouble_with_kafka_is_told_alike_by_every_api(
    gateway: Gateway, path: str, body: dict[str, Any], error: Exception, status: int
) -> None:
    gateway.desk.failure = error
    with gateway.client() as client:
        reply = client.post(path, json=body)
    assert reply.status_code == status
    assert ("retry-after" in reply.headers) == (status != 504)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/toy"),
        ("GET", "/v1/policies"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/none"),
        ("GET", "/v1/jobs/events"),
        ("POST", "/v1/moderations"),
        ("GET", "/v1/files"),
        ("GET", "/v1/batches"),
    ],
)
def test_once_there_are_keys_nothing_is_told_without_one(gateway: Gateway, method: str, path: str) -> None:
    gateway.key()
    with gateway.client() as client:
        missing = client.request(method, path, json={"text": "hello", "input": "hello"} if method == "POST" else None)
        wrong = client.request(method, path, headers={"authorization": "Bearer llmos_wrong"})
    assert missing.status_code == wrong.status_code == 401
    assert missing.json()["error"]["message"] == "Missing bearer or basic authentication in header"
    assert wrong.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/docs", "/openapi.json"])
def test_probes_and_documentation_need_no_key(gateway: Gateway, path: str) -> None:
    gateway.key()
    with gateway.client() as client:
        assert client.get(path).status_code == 200


def test_it_is_ready_between_start_and_stop(gateway: Gateway) -> None:
    assert not gateway.app.state.ready
    with gateway.client() as client:
        assert client.get("/readyz").json() == {"status": "ready"}
        gateway.app.state.draining.set()
        assert client.get("/readyz").status_code == 503
        assert client.get("/livez").status_code == 200
    assert not gateway.app.state.ready


def test_canaries_that_go_wrong_make_it_not_ready_and_say_why(gateway: Gateway) -> None:
    with gateway.client() as client:
        gateway.app.state.canary_troubles = lambda: ["the known-bad canary got the verdict allow"]
        reply = client.get("/readyz")
        assert client.get("/livez").status_code == 200
    assert reply.status_code == 503
    assert reply.json() == {"status": "not ready", "because": ["the known-bad canary got the verdict allow"]}


class FakePart:
    """Notes when it is started and stopped."""

    def __init__(self, name: str, notes: list[str], *, fails: bool = False) -> None:
        self.router = app_module.FastAPI().router
        self.sinks = ()
        self._name, self._notes, self._fails = name, notes, fails

    async def start(self) -> None:
        self._notes.append(f"start {self._name}")
        if self._fails:
            raise RuntimeError(self._name)

    async def stop(self) -> None:
        self._notes.append(f"stop {self._name}")


@pytest.mark.parametrize(
    ("fails", "noted"), [(False, ["start a", "start b", "stop b", "stop a"]), (True, ["start a", "start b", "stop a"])]
)
def test_every_part_that_was_started_is_stopped(gateway: Gateway, *, fails: bool, noted: list[str]) -> None:
    notes: list[str] = []
    gateway.app.state.parts = [FakePart("a", notes), FakePart("b", notes, fails=fails)]
    if fails:
        with pytest.raises(RuntimeError, match="b"), gateway.client():
            pytest.fail("it must not start")
    else:
        with gateway.client():
            assert notes == ["start a", "start b"]
    assert notes == noted
