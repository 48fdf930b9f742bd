"""The gateway as a process, before real stages: what it promises a client while workers, brokers and it itself go down."""

import re
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx
import pytest

from pipeline import exits
from pipeline.embedded import free_port
from pipeline.topics import create_topics
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

SLOW = "slow:50"
"""Milliseconds more for every chunk of a worker, so that there is always something under way."""
CONTRACT = {200, 429, 503, 504}
"""What POST /v1/jobs with `wait` may answer while something is going down."""


@dataclass(frozen=True)
class Running:
    """A gateway, the stages behind it, and a client."""

    gateway: Stage
    worker: Stage
    client: httpx.Client
    metrics_port: int

    def accept(self, count: int) -> list[str]:
        """Hand in jobs; returns their ids."""
        body = {"jobs": [{"text": "you idiot, hello"}] * count}
        reply = self.client.post("/v1/jobs", json=body)
        assert reply.status_code == 202, reply.text
        return [job["id"] for job in reply.json()["data"]]

    @property
    def waiting(self) -> float:
        """Jobs that requests wait for."""
        metrics = httpx.get(f"http://127.0.0.1:{self.metrics_port}/metrics").text
        (found,) = re.findall(r'^llmos_gateway_jobs_waiting\{kind="request"\} (\S+)$', metrics, re.MULTILINE)
        return float(found)

    def wait_for(self, ids: list[str]) -> None:
        """Until all are done."""
        left = set(ids)

        def all_done() -> bool:
            left.difference_update([name for name in sorted(left)[:50] if self._status(name) == "done"])
            return not left

        wait_until(all_done, lambda: f"{len(left)} outcomes\n{self.gateway.log}", 90)

    def _status(self, name: str) -> str:
        reply = self.client.get(f"/v1/jobs/{name}")
        assert reply.status_code == 200, reply.text
        return str(reply.json()["status"])


@pytest.fixture(scope="module")
def running(place: Installation) -> Iterator[Running]:
    """A slow worker, so that there is always something under way."""
    create_topics(place.settings, [f"{place.settings.reply_prefix}gateway"])
    port, metrics_port = free_port(), free_port()
    gateway = place.stage("gateway", LLMOS_HTTP_PORT=str(port), LLMOS_METRICS_PORT=str(metrics_port))
    gateway.launch()
    _, worker = place.start_both(LLMOS_TEST_FAULTS=SLOW)
    gateway.wait_until_ready()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        yield Running(gateway, worker, client, metrics_port)


def test_every_kind_of_outcome_comes_back_over_http(running: Running) -> None:
    done = running.client.post("/v1/jobs?wait=20", json={"text": "you idiot"})
    assert (done.status_code, done.json()["result"]["verdict"]) == (200, "block"), done.text
    dead = running.client.post("/v1/jobs?wait=20", json={"text": "hello", "deadline": "2020-01-01T00:00:00Z"})
    assert (dead.status_code, dead.json()["error"]["code"]) == (422, "deadline_passed"), dead.text
    moderated = running.client.post("/v1/moderations", json={"input": ["hello friend", "you idiot"]})
    assert [result["flagged"] for result in moderated.json()["results"]] == [False, True], moderated.text


def test_kill_9_of_the_worker_loses_nothing_and_clients_hear_a_clear_word(running: Running) -> None:
    over, statuses, answered = threading.Event(), set[int](), list[str]()

    def ask() -> None:
        while not over.is_set():
            reply = running.client.post("/v1/jobs?wait=10", json={"text": "you idiot"})
            statuses.add(reply.status_code)
            if reply.status_code == 200:
                answered.append(reply.json()["id"])

    with ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(ask) for _ in range(8)]
        wait_until(lambda: len(answered) > 20, "answers")
        ids = [name for _ in range(5) for name in running.accept(40)]
        running.worker.kill()
        running.worker.start()
        before = len(answered)
        wait_until(lambda: len(answered) > before + 20, "answers after the kill", 60)
        over.set()
        for client in asking:
            client.result()
    assert statuses <= CONTRACT
    running.wait_for(ids)


def test_a_killed_gateway_goes_on_where_it_was(running: Running) -> None:
    ids = [name for _ in range(5) for name in running.accept(40)]
    running.gateway.kill()
    running.gateway.start()
    running.wait_for(ids)
    assert running.client.post("/v1/jobs?wait=20", json={"text": "hello"}).status_code == 200


def test_outcomes_that_came_while_it_was_away_are_there_when_it_is_back(running: Running, place: Installation) -> None:
    ids = running.accept(40)
    assert running.gateway.terminate() == exits.OK
    ahead = place.llmos("publish", "-", "--wait", stdin=b'{"text":"hello"}\n' * 20)
    assert ahead.returncode == exits.OK, ahead.stderr
    running.gateway.start()
    running.wait_for(ids)


def test_sigterm_finishes_what_is_under_way_and_takes_nothing_new(running: Running) -> None:
    running.worker.kill()
    with ThreadPoolExecutor(4) as clients:
        asking = [clients.submit(running.client.post, "/v1/jobs?wait=30", json={"text": "you idiot"}) for _ in range(4)]
        wait_until(lambda: running.waiting == 4, "requests under way")
        running.gateway._signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in running.gateway.log, "the stop")
        running.worker.start()
        assert [reply.result().status_code for reply in asking] == [200] * 4
    assert running.gateway.wait() == exits.OK, running.gateway.log
    assert running.gateway.log.rstrip().endswith("drained")
    assert not running.gateway.ready
    with pytest.raises(httpx.TransportError):
        running.client.get("/livez")
    running.gateway.start()


def test_a_second_gateway_of_the_same_name_is_refused(running: Running, place: Installation) -> None:
    done = place.llmos("gateway", "--http-port", "0", "--instance-id", "gateway")
    assert (done.returncode, "runs already" in done.stderr) == (exits.CONFIGURATION, True), done.stderr


def test_a_port_that_is_taken_is_named(running: Running, place: Installation) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = place.llmos("gateway", "--http-port", port, "--instance-id", "second")
    assert (done.returncode, f"port {port}: Address already in use" in done.stderr) == (exits.CONFIGURATION, True), done.stderr


def test_without_its_reply_topic_it_stops_and_names_the_command(place: Installation) -> None:
    hurry = {"LLMOS_KAFKA_REQUEST_TIMEOUT_MS": "1000", "LLMOS_KAFKA_DELIVERY_TIMEOUT_MS": "2000"}
    done = place.llmos("gateway", "--http-port", "0", "--instance-id", "nobody", **hurry)
    assert done.returncode == exits.CONFIGURATION, done.stderr
    assert "create them with `llmos topics create --gateway nobody`" in done.stderr
    assert not [topic for topic in place.topics() if topic.endswith("replies.nobody")]


def test_wider_than_this_machine_it_wants_keys(place: Installation) -> None:
    done = place.llmos("gateway", "--http-host", "0.0.0.0", "--http-port", "0", "--instance-id", "wide")  # noqa: S104
    assert done.returncode == exits.CONFIGURATION
    assert "without API keys" in done.stderr


def test_the_command_makes_the_reply_topic_that_a_gateway_asks_for(place: Installation) -> None:
    made = place.llmos("topics", "create", "--gateway", "other")
    assert made.returncode == exits.OK, made.stderr
    other = place.stage("gateway", "other", LLMOS_HTTP_PORT="0")
    other.start()
    assert "listening at http://127.0.0.1:" in other.log
    assert other.terminate() == exits.OK
