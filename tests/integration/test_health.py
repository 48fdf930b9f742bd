"""Real processes with canaries on: ready while a text gets its verdict through the whole queue, and not otherwise."""

import json
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest

from pipeline.canary import CANARY_TENANT
from pipeline.embedded import free_port
from pipeline.read import ResultReader
from pipeline.topics import create_topics
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

EVERY_S, WITHIN_S = 1, 4
BOUND_S = 2 * (EVERY_S + WITHIN_S) + 10
"""For a change to be told: the round under way and the next one, and some for a machine that has other things to do."""


class Probed:
    """A stage, and what its probes say."""

    def __init__(self, stage: Stage, port: int) -> None:
        self.stage = stage
        self.port = port

    def ask(self, path: str, port: int = 0) -> tuple[int, dict[str, object]]:
        """Status and body; 0 where nobody answers."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except OSError:
            return 0, {}
        finally:
            connection.close()

    def wait_for(self, status: int, because: str | None = None) -> dict[str, object]:
        """The body of /readyz once it has this status, for this reason among others."""
        told: list[object] = []

        def there() -> dict[str, object] | None:
            found, body = self.ask("/readyz")
            told[:] = [found, body]
            reasons: Any = body.get("because", ())
            return body if found == status and (because is None or because in reasons) else None

        return wait_until(there, lambda: f"/readyz {status}: {told}\n{self.stage.log}", BOUND_S)


def probed(place: Installation, kind: str, **changes: str) -> Probed:
    """A stage with canaries on, begun."""
    port = free_port()
    canaries = {"LLMOS_CANARY_EVERY_S": str(EVERY_S), "LLMOS_CANARY_WITHIN_S": str(WITHIN_S)}
    texts = {"LLMOS_CANARY_BAD_TEXT": "you idiot", "LLMOS_CANARY_GOOD_TEXT": "hello friend"}
    stage = place.stage(kind, LLMOS_METRICS_PORT=str(port), **canaries, **texts, **changes)  # type: ignore[arg-type]
    stage.launch()
    return Probed(stage, port)


@pytest.fixture(scope="module")
def processes(place: Installation) -> Iterator[tuple[Probed, Probed, Probed, int]]:
    """Preprocess, worker and gateway, and the gateway's own port."""
    create_topics(place.settings, [f"{place.settings.reply_prefix}gateway"])
    http_port = free_port()
    preprocess, worker = probed(place, "preprocess"), probed(place, "worker")
    gateway = probed(place, "gateway", LLMOS_HTTP_PORT=str(http_port))
    for process in (preprocess, worker, gateway):
        process.stage.wait_until_ready()
    yield preprocess, worker, gateway, http_port
    for process in (gateway, preprocess, worker):
        if process.stage.alive:
            assert process.stage.terminate() == 0, process.stage.log


def test_every_process_becomes_ready_by_its_canaries(processes: tuple[Probed, Probed, Probed, int]) -> None:
    *stages, http_port = processes
    for process in stages:
        assert process.wait_for(200) == {"status": "ready"}
        assert process.ask("/livez") == (200, {"status": "ok"})
    assert stages[-1].ask("/readyz", http_port) == (200, {"status": "ready"})


def test_the_commands_say_the_same(place: Installation, processes: tuple[Probed, Probed, Probed, int]) -> None:
    preprocess, *_ = processes
    preprocess.wait_for(200)
    health = place.llmos("health", "--port", str(preprocess.port))
    assert (health.returncode, json.loads(health.stdout)) == (0, {"status": "ready"})
    canary = place.llmos("canary", "--json")
    assert canary.returncode == 0, canary.stdout + canary.stderr
    assert {answer["kind"]: answer["right"] for answer in json.loads(canary.stdout)} == {"bad": True, "good": True}


def test_readers_do_not_see_canaries_unless_they_ask(place: Installation, processes: tuple[Probed, Probed, Probed, int]) -> None:
    processes[0].wait_for(200)
    with ResultReader(place.settings) as reader:
        assert list(reader.results()) == []
    with ResultReader(place.settings, canaries=True) as reader:
        found = {(result.tenant, result.verdict) for result in reader.results()}
    assert found >= {(CANARY_TENANT, "allow")}
    assert {tenant for tenant, _ in found} == {CANARY_TENANT}


def test_without_a_worker_nobody_is_ready_and_with_one_everybody_is_again(
    processes: tuple[Probed, Probed, Probed, int],
) -> None:
    preprocess, worker, gateway, http_port = processes
    for process in (preprocess, gateway):
        process.wait_for(200)
    worker.stage.terminate()
    # The worker may have answered one canary of a round and not the other: the first reason need not be this one.
    why = preprocess.wait_for(503, f"the known-bad canary had no answer within {WITHIN_S} s")
    assert f"the known-bad canary had no answer within {WITHIN_S} s" in why["because"]  # type: ignore[operator]
    gateway.wait_for(503)
    assert gateway.ask("/readyz", http_port)[0] == 503
    assert preprocess.ask("/livez")[0] == gateway.ask("/livez", http_port)[0] == 200
    assert preprocess.stage.ready, "the ready file tells of the process alone"
    worker.stage.start()
    for process in (worker, preprocess, gateway):
        process.wait_for(200)


def test_a_process_that_has_ended_answers_nobody(place: Installation, processes: tuple[Probed, Probed, Probed, int]) -> None:
    preprocess, *_ = processes
    assert preprocess.stage.terminate() == 0, preprocess.stage.log
    health = place.llmos("health", "--port", str(preprocess.port))
    assert (health.returncode, "no answer" in health.stderr) == (1, True)
