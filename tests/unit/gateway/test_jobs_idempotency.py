"""The same Idempotency-Key means the same jobs, published once: later, after a restart, and while the first still runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.gateway.contract import Outcome, Overloaded, Unavailable
from pipeline.gateway.jobs import submissions
from schemas.jobs import TextJob
from tests.support.desk import FakeDesk, outcome_of
from tests.support.front import Gateway, make_gateway
from tests.support.gateway import story, until
from tests.support.waiting import wait_until

KEY = {"idempotency-key": "order-66"}
HELLO = {"text": "hello"}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


def ids(reply: httpx.Response) -> list[str]:
    """Of the jobs in a reply."""
    body = reply.json()
    return [job["id"] for job in body.get("data", [body])]


@pytest.mark.parametrize("body", [HELLO, {"jobs": [HELLO, {"text": "BURY"}]}])
@pytest.mark.parametrize(("first", "second"), [("", ""), ("?wait=1", "?wait=1"), ("", "?wait=1"), ("?wait=1", "")])
def test_a_repeated_request_gets_the_same_jobs_and_publishes_nothing(
    gateway: Gateway, body: dict[str, Any], first: str, second: str
) -> None:
    with gateway.client() as client:
        replies = [client.post(f"/v1/jobs{query}", json=body, headers=KEY) for query in (first, second, second)]
    assert [reply.status_code for reply in replies] == [200 if query else 202 for query in (first, second, second)]
    assert ids(replies[0]) == ids(replies[1]) == ids(replies[2])
    assert [job.job_id for job in gateway.desk.asked] == ids(replies[0])


def test_a_dead_letter_is_repeated_as_one(gateway: Gateway) -> None:
    with gateway.client() as client:
        replies = [client.post("/v1/jobs?wait=1", json={"text": "BURY"}, headers=KEY) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [422, 422]
    assert replies[0].json() == replies[1].json()


def test_another_body_under_the_same_key_is_409_and_not_worth_a_retry(gateway: Gateway) -> None:
    with gateway.client() as client:
        client.post("/v1/jobs", json=HELLO, headers=KEY)
        reply = client.post("/v1/jobs", json={"text": "good bye"}, headers=KEY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "idempotency_key_reused")
    assert reply.headers["x-should-retry"] == "false"
    assert len(gateway.desk.asked) == 1


def test_keys_of_one_tenant_mean_nothing_to_another(gateway: Gateway) -> None:
    keys = [gateway.key("default"), gateway.key("acme")]
    with gateway.client() as client:
        replies = [
            client.post("/v1/jobs", json={"text": text}, headers={**KEY, "authorization": f"Bearer {key}"})
            for key, text in zip(keys, ("hello", "good bye"), strict=True)
        ]
    assert [reply.status_code for reply in replies] == [202, 202]
    assert ids(replies[0]) != ids(replies[1])


def test_another_key_means_other_jobs(gateway: Gateway) -> None:
    with gateway.client() as client:
        replies = [client.post("/v1/jobs", json=HELLO, headers={"idempotency-key": key}) for key in ("a", "b")]
    assert ids(replies[0]) != ids(replies[1])


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "\u00e4"])
def test_a_key_that_is_none_is_400(gateway: Gateway, key: str) -> None:
    with gateway.client() as client:
        reply = client.post("/v1/jobs", json=HELLO, headers={"idempotency-key": key.encode()})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_it_holds_after_a_restart(tmp_path: Path) -> None:
    with make_gateway(tmp_path).client() as client:
        first = client.post("/v1/jobs", json=HELLO, headers=KEY)
    again = make_gateway(tmp_path)
    with again.client() as client:
        assert ids(client.post("/v1/jobs", json=HELLO, headers=KEY)) == ids(first)
        assert client.post("/v1/jobs", json={"text": "x"}, headers=KEY).status_code == 409
    assert again.desk.asked == []


@pytest.mark.parametrize("query", ["", "?wait=1"])
def test_after_503_the_same_key_means_the_same_jobs(gateway: Gateway, query: str) -> None:
    gateway.desk.failure = Unavailable("away")
    with gateway.client() as client:
        assert client.post(f"/v1/jobs{query}", json=HELLO, headers=KEY).status_code == 503
        gateway.desk.failure = None
        replies = [client.post(f"/v1/jobs{query}", json=HELLO, headers=KEY) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200 if query else 202] * 2
    assert [job.job_id for job in gateway.desk.asked] == ids(replies[0]) == ids(replies[1])


@pytest.mark.parametrize("query", ["", "?wait=1"])
def test_after_429_the_same_key_may_be_tried_again(gateway: Gateway, query: str) -> None:
    gateway.desk.failure = Overloaded(1)
    with gateway.client() as client:
        assert client.post(f"/v1/jobs{query}", json=HELLO, headers=KEY).status_code == 429
        gateway.desk.failure = None
        assert client.post(f"/v1/jobs{query}", json={"text": "other"}, headers=KEY).is_success
    assert [job.text for job in gateway.desk.asked] == ["other"]


class GatedDesk(FakeDesk):
    """Answers no request before `opened` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = asyncio.Event()

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:  # noqa: ARG002 (the signature is the contract's)
        self._note(jobs)
        await self.opened.wait()
        self.waiting.extend(jobs)
        self.release()
        return [outcome_of(job) for job in jobs]


@asynccontextmanager
async def running(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client on the event loop of the app."""
    transport = httpx.ASGITransport(gateway.app)
    async with (
        gateway.app.router.lifespan_context(gateway.app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=KEY) as client,
    ):
        yield client


@story
async def test_it_holds_while_the_first_request_still_runs(tmp_path: Path) -> None:
    desk = GatedDesk()
    async with running(make_gateway(tmp_path, desk)) as client:
        first = asyncio.create_task(client.post("/v1/jobs?wait=5", json=HELLO))
        await until(lambda: desk.asked, "the first is under way")
        at_once = await client.post("/v1/jobs", json=HELLO)
        second = asyncio.create_task(client.post("/v1/jobs?wait=5", json=HELLO))
        conflict = await client.post("/v1/jobs", json={"text": "other"})
        desk.opened.set()
        replies = await asyncio.gather(first, second)
    assert (at_once.status_code, at_once.json()["status"], conflict.status_code) == (202, "pending", 409)
    assert [reply.status_code for reply in replies] == [200, 200]
    assert ids(replies[0]) == ids(replies[1]) == ids(at_once)
    assert len(desk.asked) == 1


@story
async def test_many_at_the_same_time_are_one(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path)
    async with running(gateway) as client:
        replies = await asyncio.gather(*(client.post("/v1/jobs?wait=5", json=HELLO) for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({ids(reply)[0] for reply in replies}) == 1
    assert len(gateway.desk.asked) == 1


@story
async def test_a_repetition_that_waits_in_vain_is_late_too(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path)
    gateway.desk.held = True
    async with running(gateway) as client:
        first = await client.post("/v1/jobs", json=HELLO)
        late = await client.post("/v1/jobs?wait=0.3", json=HELLO)
    assert late.status_code == 504
    assert late.json()["error"]["job_ids"] == ids(first) == ids(late)


class KilledDesk(FakeDesk):
    """As if the process died while it published."""

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:  # noqa: ARG002 (the signature is the contract's)
        raise KeyboardInterrupt

    async def hand_over(self, jobs: Sequence[TextJob]) -> None:  # noqa: ARG002 (the signature is the contract's)
        raise asyncio.CancelledError


def test_what_was_kept_and_not_published_is_handed_over_after_a_restart(tmp_path: Path) -> None:
    killed = make_gateway(tmp_path, KilledDesk())
    with killed.client() as client:
        reply = client.post("/v1/jobs", json={"jobs": [HELLO, {"text": "you idiot"}]}, headers=KEY)
    again = make_gateway(tmp_path)
    with again.client() as client:
        wait_until(lambda: len(again.desk.asked) == 2, "they are handed over")
        done = client.post("/v1/jobs?wait=3", json={"jobs": [HELLO, {"text": "you idiot"}]}, headers=KEY)
    assert [job.job_id for job in again.desk.asked] == ids(reply) == ids(done)
    assert [job.text for job in again.desk.asked] == ["hello", "you idiot"]
    assert [job["status"] for job in done.json()["data"]] == ["done", "done"]


def test_once_published_a_text_is_not_kept(tmp_path: Path) -> None:
    with make_gateway(tmp_path).client() as client:
        client.post("/v1/jobs?wait=1", json={"text": "a-very-private-text"})
        client.post("/v1/jobs?wait=1", json={"text": "BURY-this-private-text"})
    assert not [file for file in (tmp_path / "gateway").rglob("*") if file.is_file() and b"private-text" in file.read_bytes()]


class SlowDesk(FakeDesk):
    """Has no room for jobs before `room` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Event()

    async def hand_over(self, jobs: Sequence[TextJob]) -> None:
        await self.room.wait()
        await super().hand_over(jobs)


@story
async def test_a_queue_without_room_holds_nobody_up_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "HAND_OVER_S", 0.01)
    gateway = make_gateway(tmp_path, desk := SlowDesk())
    async with running(gateway) as client:
        replies = [await client.post("/v1/jobs", json=HELLO) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [202, 202]
        assert desk.asked == []
        desk.room.set()
        await until(lambda: desk.asked, "it is handed over")
        done = await client.post("/v1/jobs?wait=5", json=HELLO)
    assert (done.status_code, ids(done)) == (200, ids(replies[0]))
    assert len(desk.asked) == 1
