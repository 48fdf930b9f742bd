"""How jobs are taken in: kept first, then published, so that a crash between the two loses none.

What was kept and not confirmed as published is handed over again after a restart, and every half a minute, under the same ids:
twice is harmless. A request that ends in 429 leaves nothing behind; one that ends in 503 leaves its jobs where it came with an
Idempotency-Key, so that its repetition means the same jobs.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pipeline.gateway.contract import Desk, GatewayError, Late, Outcome, Overloaded
from pipeline.gateway.jobs.store import Begun, Claim, JobStore, State, StoredJob, kept_outcome
from schemas.jobs import BULK_JOBS_MAX, TextJob

HAND_OVER_S: Final = 5.0
"""How long a request without `wait` is held up by a Kafka that is slow or a queue that is full; its jobs are kept already."""
RESUME_S: Final = 30.0
"""How often what was not confirmed is handed over again."""
POLL_S: Final = 0.1
"""How often a repeated request looks for the outcomes of the first."""

_log = logging.getLogger(__name__)


class Submissions:
    """Everything that is under way between the store and the desk. For the event loop's thread."""

    def __init__(self, desk: Desk, store: JobStore) -> None:
        self._desk = desk
        self._store = store
        self._active: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def accept(self, tenant: str, jobs: Sequence[TextJob], claim: Claim | None) -> list[StoredJob]:
        """Keep the jobs and hand them over, or find those of an earlier request with the same claim.

        Returns when Kafka has them, or after `HAND_OVER_S`: then they follow. Raises Overloaded or Unavailable, and ApiError
        where the claim came with another body.
        """
        begun = await self._begin(tenant, jobs, claim)
        work = self._hand_over(jobs) if begun.fresh else self._hand_over_left(begun.job_ids)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task}, timeout=HAND_OVER_S)
        if task.done() and not task.cancelled() and (error := task.exception()):
            await self._give_up(tenant, begun, claim, error)
            raise error
        return [_pending(job) for job in jobs] if begun.fresh else await self._as_they_stand(tenant, begun.job_ids)

    async def ask(
        self, tenant: str, jobs: Sequence[TextJob], claim: Claim | None, wait_s: float
    ) -> tuple[list[StoredJob], Late | None]:
        """The jobs with their outcomes, and Late where some are missing after `wait_s`; raises what `accept` raises."""
        deadline = time.monotonic() + wait_s
        begun = await self._begin(tenant, jobs, claim)
        if not begun.fresh:
            await self._hand_over_left(begun.job_ids)
            return await self._wait_for(tenant, begun.job_ids, deadline)
        try:
            outcomes = await self._desk.ask(jobs, max(deadline - time.monotonic(), POLL_S))
        except Late as late:
            self._store.published(begun.job_ids)
            return await self._as_they_stand(tenant, begun.job_ids), late
        except GatewayError as error:
            await self._give_up(tenant, begun, claim, error)
            raise
        finally:
            self._active.difference_update(begun.job_ids)
        self._store.published(begun.job_ids)
        return [_closed(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)], None

    async def _begin(self, tenant: str, jobs: Sequence[TextJob], claim: Claim | None) -> Begun:
        job_ids = [job.job_id for job in jobs]
        self._active.update(job_ids)  # before they are kept: else they could be taken for left over
        try:
            begun = await self._store.begin(tenant, jobs, claim)
        except BaseException:
            self._active.difference_update(job_ids)
            raise
        if not begun.fresh:
            self._active.difference_update(job_ids)
        return begun

    async def _hand_over(self, jobs: Sequence[TextJob]) -> None:
        job_ids = [job.job_id for job in jobs]
        self._active.update(job_ids)
        try:
            await self._desk.hand_over(jobs)
            self._store.published(job_ids)
        finally:
            self._active.difference_update(job_ids)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.warning("jobs were not handed over: %s", error)

    async def _give_up(self, tenant: str, begun: Begun, claim: Claim | None, error: BaseException) -> None:
        if begun.fresh and (claim is None or isinstance(error, Overloaded)):
            await self._store.forget(tenant, begun.job_ids, claim)

    async def _wait_for(self, tenant: str, job_ids: Sequence[str], deadline: float) -> tuple[list[StoredJob], Late | None]:
        while True:
            found = await self._as_they_stand(tenant, job_ids)
            missing = [job.job_id for job in found if job.outcome is None]
            if not missing:
                return found, None
            if time.monotonic() >= deadline:
                return found, Late(missing)
            await asyncio.sleep(POLL_S)

    async def _as_they_stand(self, tenant: str, job_ids: Sequence[str]) -> list[StoredJob]:
        found = await self._store.find(tenant, job_ids)
        return [found[job_id] for job_id in job_ids if job_id in found]

    async def _hand_over_left(self, job_ids: Sequence[str]) -> None:
        """Hand over those that nobody is handing over and Kafka has not confirmed."""
        idle = [job_id for job_id in job_ids if job_id not in self._active]
        self._active.update(idle)
        try:
            jobs = await self._store.payloads(idle)
            if jobs:
                _log.info("handing over again %d jobs that were not confirmed", len(jobs))
                await self._hand_over(jobs)
        finally:
            self._active.difference_update(idle)

    async def resume(self) -> None:
        """Hand over again what was not confirmed, now and then; never returns."""
        while True:
            try:
                await self._resume_once()
            except GatewayError as error:
                _log.warning("jobs left over are not handed over yet: %s", error)
            await asyncio.sleep(RESUME_S)

    async def _resume_once(self) -> None:
        job_ids = await self._store.unpublished()
        for first in range(0, len(job_ids), BULK_JOBS_MAX):
            await self._hand_over_left(job_ids[first : first + BULK_JOBS_MAX])

    async def stop(self) -> None:
        """Let go; what is not confirmed follows after the next start."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _pending(job: TextJob) -> StoredJob:
    return StoredJob(job.job_id, job.tenant, int(job.created_at.timestamp() * 1000), State.PUBLISHED)


def _closed(job: TextJob, outcome: Outcome) -> StoredJob:
    state = State.DEAD if outcome.dead else State.DONE
    return replace(_pending(job), state=state, outcome=kept_outcome(outcome))
