"""Outcomes as they come: nothing is missed, nothing is another's, and a stream ends for good reasons only."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.gateway.contract import Overloaded
from pipeline.gateway.jobs import hub as hub_module
from pipeline.gateway.jobs import stream
from pipeline.gateway.jobs.hub import Hub, Listener
from pipeline.gateway.jobs.store import State, StoredJob
from pipeline.gateway.key_file import keys_path, read_keys, revoke_key
from tests.support.front import Gateway, make_gateway
from tests.support.gateway import story, until
from tests.support.http_server import serving


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


@dataclass
class Stream:
    """What one client hears."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    heard: bytes = b""
    ended: bool = False
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    taking: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The jobs of the events so far."""
        return list(_events(self.heard))


def _events(heard: bytes) -> Iterator[dict[str, Any]]:
    for block in heard.decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if "data" in fields:
            assert fields["event"] == "job"
            yield json.loads(fields["data"])


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the event loop of the app, so that both may be watched."""
    transport = httpx.ASGITransport(gateway.app)
    async with (
        gateway.app.router.lifespan_context(gateway.app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client


@asynccontextmanager
async def listening(gateway: Gateway, **headers: str) -> AsyncIterator[Stream]:
    """A stream that has begun, or was refused; its client leaves at the end."""
    found = Stream()
    found.taking.set()

    async def receive() -> dict[str, Any]:
        await found.leave.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            found.heard += message["body"]
            found.ended = not message.get("more_body")
            await found.taking.wait()

    given = {"accept": "text/event-stream", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()]
    scope = {"type": "http", "method": "GET", "path": "/v1/jobs/events", "query_string": b"", "headers": raw}
    task = asyncio.create_task(
        gateway.app({"http_version": "1.1", "scheme": "http", "server": ("gateway", 80), **scope}, receive, send)
    )
    try:
        await until(lambda: found.heard or task.done(), "the stream begins")
        yield found
    finally:
        found.leave.set()
        await asyncio.wait_for(task, 5)


@story
async def test_an_outcome_is_heard_when_it_comes(gateway: Gateway) -> None:
    async with running(gateway) as client, listening(gateway) as heard:
        job_id = (await client.post("/v1/jobs", json={"text": "you idiot"})).json()["id"]
        await until(lambda: heard.events, "an event")
    (event,) = heard.events
    assert (event["id"], event["status"], event["result"]["verdict"]) == (job_id, "done", "block")
    assert heard.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in heard.headers


@story
async def test_what_was_before_is_not_told_unless_asked_for(gateway: Gateway) -> None:
    async with running(gateway) as client:
        await client.post("/v1/jobs", json={"jobs": [{"text": "one"}, {"text": "two"}]})
        async with listening(gateway) as fresh, listening(gateway, last_event_id="1") as resumed:
            await client.post("/v1/jobs", json={"text": "three"})
            await until(lambda: len(fresh.events) == 1 and len(resumed.events) == 2, "both have heard")
    assert numbers(fresh) == [3]
    assert numbers(resumed) == [2, 3]


def numbers(heard: Stream) -> list[int]:
    """Of the events."""
    return [int(line.removeprefix("id: ")) for line in heard.heard.decode().splitlines() if line.startswith("id: ")]


@story
async def test_a_stream_resumes_after_a_restart_without_a_gap(tmp_path: Path) -> None:
    first = make_gateway(tmp_path)
    async with running(first) as client, listening(first) as heard:
        await client.post("/v1/jobs", json={"text": "one"})
        await until(lambda: heard.events, "an event")
    last = numbers(heard)[-1]
    async with running(make_gateway(tmp_path)) as client:
        await client.post("/v1/jobs", json={"jobs": [{"text": "two"}] * 250})
    again = make_gateway(tmp_path)
    async with running(again), listening(again, last_event_id=str(last)) as heard:
        await until(lambda: len(heard.events) == 250, "all that was missed")
    assert numbers(heard) == list(range(last + 1, last + 251))


@story
async def test_a_tenant_hears_its_own_outcomes_alone(gateway: Gateway) -> None:
    keys = {tenant: f"Bearer {gateway.key(tenant)}" for tenant in ("default", "acme")}
    async with running(gateway) as client, listening(gateway, authorization=keys["acme"]) as heard:
        for tenant in ("default", "acme", "default"):
            await client.post("/v1/jobs", json={"text": tenant}, headers={"authorization": keys[tenant]})
        await until(lambda: heard.events, "an event")
        page = (await client.get("/v1/jobs/events", headers={"authorization": keys["default"]})).json()
    assert [event["result"]["tenant"] for event in heard.events] == ["acme"]
    assert [event["job"]["result"]["tenant"] for event in page["data"]] == ["default", "default"]


@story
async def test_a_silent_stream_is_kept_alive(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.005)
    async with running(gateway), listening(gateway) as heard:
        await until(lambda: heard.heard.count(b": still here\n\n") >= 2, "comments")
    assert heard.heard.startswith(b"retry: 2000\n\n")


@story
async def test_a_stream_ends_when_the_gateway_drains(gateway: Gateway) -> None:
    async with running(gateway) as client, listening(gateway) as heard:
        gateway.app.state.draining.set()
        await until(lambda: heard.ended, "the end")
        assert (await client.get("/v1/jobs/events", headers={"accept": "text/event-stream"})).status_code == 503


@story
async def test_a_stream_ends_when_its_key_is_revoked(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.005)
    key = gateway.key("acme")
    async with running(gateway), listening(gateway, authorization=f"Bearer {key}") as heard:
        file = keys_path(gateway.settings)
        revoke_key(file, read_keys(file).keys[0].key_id)
        gateway.clock.seconds += 2
        await until(lambda: heard.ended, "the end")


@story
async def test_a_client_that_takes_nothing_in_is_let_go(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_S", 0.01)
    monkeypatch.setattr(stream, "END_S", 0.01)
    async with running(gateway) as client, listening(gateway) as heard:
        heard.taking.clear()
        await client.post("/v1/jobs", json={"text": "hello"})
        await until(lambda: not gateway_listeners(), "nobody listens")
        heard.taking.set()


def gateway_listeners() -> float:
    """How many clients listen, as the metric has it."""
    return float(hub_module.HTTP_STREAMS.collect()[0].samples[0].value)


@story
async def test_only_so_many_may_listen(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LISTENERS_PER_TENANT_MAX", 1)
    async with running(gateway):
        async with listening(gateway) as first, listening(gateway) as second:
            assert (first.status, second.status) == (200, 429)
            assert second.headers["retry-after"] == "10"
        async with listening(gateway) as third:
            assert third.status == 200
    assert gateway_listeners() == 0


@pytest.mark.parametrize("last", ["-1", "x", "9" * 30, "1.5", ""])
def test_a_last_event_that_is_none_is_400(gateway: Gateway, last: str) -> None:
    with gateway.client() as client:
        reply = client.get("/v1/jobs/events", headers={"last-event-id": last})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Last-Event-ID")


def test_without_a_stream_outcomes_come_in_pages(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.post("/v1/jobs", json={"jobs": [{"text": "hello"}] * 5})
        first = client.get("/v1/jobs/events?limit=3").json()
        second = client.get(f"/v1/jobs/events?limit=3&after={first['last_id']}").json()
        nothing = client.get(f"/v1/jobs/events?after={second['last_id']}").json()
        beyond = client.get("/v1/jobs/events?after=1000000").json()
    assert [[event["id"] for event in page["data"]] for page in (first, second, nothing)] == [[1, 2, 3], [4, 5], []]
    assert [page["has_more"] for page in (first, second, nothing)] == [True, False, False]
    assert nothing["last_id"] == beyond["last_id"] == 5


def stored(seq: int) -> StoredJob:
    """An outcome with this number."""
    return StoredJob(f"job-{seq}", "default", 0, State.DONE, seq, b"{}")


@story
async def test_a_full_queue_is_emptied_and_the_listener_told_that_it_is_behind() -> None:
    listener = Listener("default")
    for seq in range(hub_module.QUEUE_MAX + 1):
        listener.put(stored(seq))
    assert await listener.next() == []
    assert listener.behind
    listener.catch_up()
    listener.put(stored(7))
    assert [job.seq for job in await listener.next()] == [7]


@story
async def test_a_listener_that_was_behind_misses_nothing(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_MAX", 3)
    async with running(gateway) as client, listening(gateway) as heard:
        for _ in range(3):
            await client.post("/v1/jobs", json={"jobs": [{"text": "hello"}] * 20})
        await until(lambda: len(heard.events) >= 60, "all events")
    assert numbers(heard) == list(range(1, 61))


@story
async def test_the_hub_counts_who_joins_and_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LISTENERS_MAX", 2)
    hub = Hub()
    first, second = hub.join("a"), hub.join("b")
    with pytest.raises(Overloaded):
        hub.join("c")
    hub.leave(first)
    hub.leave(second)
    hub.leave(hub.join("c"))
    hub.announce_soon([stored(1)])  # nobody listens, and no loop was named


def test_it_works_over_http_too(gateway: Gateway) -> None:
    with (
        serving(gateway.app) as address,
        httpx.Client(base_url=address, timeout=10) as client,
        client.stream("GET", "/v1/jobs/events", headers={"accept": "text/event-stream"}) as reply,
    ):
        lines = reply.iter_lines()
        assert next(lines) == "retry: 2000"
        job_id = httpx.post(f"{address}/v1/jobs", json={"text": "hello"}).json()["id"]
        data = next(line for line in lines if line.startswith("data: "))
    assert json.loads(data.removeprefix("data: "))["id"] == job_id
