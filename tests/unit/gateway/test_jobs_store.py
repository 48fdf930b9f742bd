"""The store of jobs: outcomes once and in order, numbers that never fall back, old things forgotten, always by tenant."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.gateway.contract import Outcome, Overloaded
from pipeline.gateway.dialect import ApiError
from pipeline.gateway.jobs.replies import event_chunk, job_json
from pipeline.gateway.jobs.store import Claim, JobStore, State, StoredJob, kept_outcome
from schemas.jobs import TextJob
from tests.support.desk import outcome_of
from tests.support.gateway import story

DAY_MS = 86_400_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    made = JobStore(tmp_path, open_max=100)
    yield made
    made.close()


def job(text: str = "hello", tenant: str = "acme", age: timedelta = timedelta()) -> TextJob:
    """A new job."""
    return TextJob(text=text, tenant=tenant, created_at=datetime.now(UTC) - age)


async def begin(store: JobStore, *jobs: TextJob, claim: Claim | None = None) -> tuple[str, ...]:
    """Their ids, once they are kept."""
    return (await store.begin("acme", jobs, claim)).job_ids


async def states(store: JobStore, *jobs: TextJob) -> list[State | None]:
    """As the tenant sees them."""
    found = await store.find("acme", [job.job_id for job in jobs])
    return [found[job.job_id].state if job.job_id in found else None for job in jobs]


@story
async def test_a_job_goes_from_new_to_done_or_dead(store: JobStore) -> None:
    good, bad = job(), job("BURY")
    await begin(store, good, bad)
    assert await states(store, good, bad) == [State.NEW, State.NEW]
    store.published([good.job_id])
    assert await store.unpublished() == [bad.job_id]
    assert store.waiting() == [good.job_id, bad.job_id]
    store.take([outcome_of(good), outcome_of(bad)])
    assert await states(store, good, bad) == [State.DONE, State.DEAD]
    assert store.waiting() == []


@story
async def test_an_outcome_is_news_once(store: JobStore) -> None:
    mine, other = job(), job()
    await begin(store, mine)
    assert [found.job_id for found in store.take([outcome_of(mine), outcome_of(mine), outcome_of(other)])] == [mine.job_id]
    assert store.take([outcome_of(mine)]) == []
    assert await store.last_event() == 1


@story
async def test_a_result_replaces_a_dead_letter_and_never_the_other_way(store: JobStore) -> None:
    mine = job("BURY")
    await begin(store, mine)
    dead, done = outcome_of(mine), replace(outcome_of(job()), job_id=mine.job_id)
    assert [[found.seq for found in store.take([outcome])] for outcome in (dead, dead, done, dead)] == [[1], [], [2], []]
    assert await states(store, mine) == [State.DONE]


@story
async def test_an_outcome_that_comes_before_the_confirmation_stays(store: JobStore) -> None:
    mine = job()
    await begin(store, mine)
    store.take([outcome_of(mine)])
    store.published([mine.job_id])
    assert await states(store, mine) == [State.DONE]
    assert await store.payloads([mine.job_id]) == []


@story
async def test_what_is_handed_over_again_is_what_came(store: JobStore) -> None:
    mine = TextJob(text="你好", tenant="acme", language="zh", metadata={"a": [1, {"b": None}]}, deadline=datetime.now(UTC))
    await begin(store, mine)
    assert await store.payloads([mine.job_id]) == [mine]
    store.published([mine.job_id])
    assert await store.payloads([mine.job_id]) == []  # at once, though nobody waited for it


@story
async def test_a_claim_finds_its_jobs_and_refuses_another_body(store: JobStore) -> None:
    claim = Claim("key", "0" * 64)
    first = await begin(store, job(), job(), claim=claim)
    again = await store.begin("acme", [job(), job()], claim)
    assert (again.job_ids, again.fresh) == (first, False)
    with pytest.raises(ApiError):
        await begin(store, job(), claim=Claim("key", "1" * 64))
    assert (await store.begin("other", [job(tenant="other")], claim)).fresh
    assert len(await store.unpublished()) == 3


@story
async def test_what_is_forgotten_was_never_there(store: JobStore) -> None:
    claim, mine = Claim("key", "0" * 64), job()
    await store.forget("acme", await begin(store, mine, claim=claim), claim)
    assert await states(store, mine) == [None]
    assert store.take([outcome_of(mine)]) == []
    assert (await store.begin("acme", [job()], Claim("key", "1" * 64))).fresh


@story
async def test_open_jobs_are_bounded_also_after_a_restart(tmp_path: Path) -> None:
    store = JobStore(tmp_path, open_max=3)
    mine = [job() for _ in range(3)]
    await begin(store, *mine)
    store.close()
    await store.open()
    with pytest.raises(Overloaded):
        await begin(store, job())
    store.take([outcome_of(mine[0])])
    await begin(store, job())
    store.close()


@story
async def test_a_request_larger_than_the_bound_is_let_in_alone(tmp_path: Path) -> None:
    store = JobStore(tmp_path, open_max=3)
    await begin(store, *(job() for _ in range(5)))
    with pytest.raises(Overloaded):
        await begin(store, job())
    store.close()


@story
async def test_every_look_up_is_by_tenant(store: JobStore) -> None:
    mine = job()
    await begin(store, mine)
    store.take([outcome_of(mine)])
    assert await store.find("other", [mine.job_id]) == {}
    assert await store.events("other", 0, 10) == []
    assert [found.job_id for found in await store.events("acme", 0, 10)] == [mine.job_id]


@story
async def test_what_is_old_is_forgotten_whatever_its_state(store: JobStore) -> None:
    old, new, closed = job(age=timedelta(hours=25)), job(), job(age=timedelta(hours=25))
    await begin(store, old, new, closed)
    store.take([outcome_of(closed)])
    await store.purge(DAY_MS, 1_000)
    assert await states(store, old, new, closed) == [None, State.NEW, None]


@story
async def test_an_idempotency_key_is_forgotten_with_its_jobs(store: JobStore) -> None:
    claim = Claim("key", "0" * 64)
    first = await begin(store, job(), claim=claim)
    await store.purge(DAY_MS, 1_000)
    assert await begin(store, job(), claim=claim) == first
    await store.purge(-DAY_MS, 1_000)
    assert await begin(store, job(), claim=claim) != first


@story
async def test_where_too_many_are_kept_the_oldest_outcomes_go_and_open_jobs_stay(store: JobStore) -> None:
    jobs = [job(age=timedelta(minutes=10 - number)) for number in range(6)]
    await begin(store, *jobs)
    store.take([outcome_of(one) for one in jobs[1:]])
    await store.purge(DAY_MS, 3)
    assert await states(store, *jobs) == [State.NEW, None, None, None, State.DONE, State.DONE]


@story
async def test_numbers_never_fall_back(tmp_path: Path) -> None:
    store = JobStore(tmp_path, open_max=100)
    for number in (1, 2):
        mine = job()
        await begin(store, mine)
        assert [found.seq for found in store.take([outcome_of(mine)])] == [number]
        await store.purge(-DAY_MS, 1_000)
        assert await states(store, mine) == [None]
        store.close()
        await store.open()
    store.close()


@story
async def test_all_threads_may_use_it(store: JobStore) -> None:
    jobs = [job() for _ in range(50)]
    await begin(store, *jobs)
    found: list[StoredJob] = []
    thread = threading.Thread(target=lambda: found.extend(store.take([outcome_of(one) for one in jobs])))
    thread.start()
    await asyncio.gather(*(begin(store, job()) for _ in range(20)))
    await asyncio.to_thread(thread.join)
    assert [one.seq for one in found] == list(range(1, 51))


def test_of_a_dead_letter_its_original_is_not_kept() -> None:
    kept = json.loads(kept_outcome(outcome_of(job("BURY the private text"))))
    assert set(kept) == {"message", "code", "stage", "attempts", "failed_at"}


def test_an_outcome_is_kept_in_one_line() -> None:
    value = kept_outcome(Outcome("a", b'{\n "verdict": "allow"\n}', dead=False))
    assert value == b'{"verdict":"allow"}'
    stored = StoredJob("a", "acme", 0, State.DONE, 7, value)
    assert event_chunk(stored).count(b"\n") == 4
    assert json.loads(job_json(stored)) == {
        "object": "job",
        "id": "a",
        "status": "done",
        "created_at": "1970-01-01T00:00:00.000Z",
        "links": {"self": "/v1/jobs/a"},
        "result": {"verdict": "allow"},
    }
