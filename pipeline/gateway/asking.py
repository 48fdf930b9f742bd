"""Requests that wait for outcomes: how many jobs they may be about, what they still miss, and what ends the waiting."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pipeline import metrics
from pipeline.gateway.contract import Late, Outcome, Overloaded, Unavailable

CONFIRM_S: Final = 6
"""How long a request waits for Kafka to take its jobs: a second more than the producer, which knows the reason."""
RETRY_AFTER_MIN_S, RETRY_AFTER_MAX_S = 1, 30
_NEW_SHARE: Final = 0.1
"""Weight of the last request in the average time that requests take."""


class Asking:
    """One request. It is over when nothing is missing, or something has failed."""

    def __init__(self, job_ids: Sequence[str], at_ms: int, began: float) -> None:
        self.job_ids = job_ids
        self.at_ms = at_ms
        self.began = began
        self.missing = set(job_ids)
        self.unconfirmed = set(job_ids)
        self._found: dict[str, Outcome] = {}
        self._error: Unavailable | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not job_ids:
            self._end()

    def resolve(self, outcome: Outcome) -> None:
        """One job's; a repeat changes nothing."""
        self._found.setdefault(outcome.job_id, outcome)
        self.missing.discard(outcome.job_id)
        self.unconfirmed.discard(outcome.job_id)
        if not self.missing:
            self._end()

    def fail(self, error: Unavailable) -> None:
        """No use in waiting longer."""
        if not self._over.done():
            self._error = error
            self._end()

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def outcomes(self, wait_s: float) -> list[Outcome]:
        """All of them, in the order of the jobs; raises Late, or Unavailable where Kafka has not taken all in time."""
        await asyncio.wait([self._over], timeout=min(wait_s, CONFIRM_S))
        if self.unconfirmed and not self._over.done():
            raise Unavailable("Kafka does not confirm what was published")
        if wait_s > CONFIRM_S:
            await asyncio.wait([self._over], timeout=wait_s - CONFIRM_S)
        if self._error:
            raise self._error
        if self.missing:
            raise Late([job_id for job_id in self.job_ids if job_id in self.missing])
        return [self._found[job_id] for job_id in self.job_ids]


class Asked:
    """All requests that wait, for the event loop's thread. Holds nothing of one that has ended.

    A request for more jobs than `jobs_max` is let in when no other is under way: it must be possible at some time.
    """

    def __init__(self, jobs_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._jobs_max = jobs_max
        self._clock = clock
        self._jobs = 0
        self._by_job: dict[str, tuple[Asking, ...]] = {}
        self._mean_s = 0.0

    def begin(self, job_ids: Sequence[str], at_ms: int) -> Asking:
        """A request comes in at that Unix time; `end` must follow. Raises Overloaded."""
        if self._jobs and self._jobs + len(job_ids) > self._jobs_max:
            metrics.GATEWAY_OVERLOADED.inc()
            raise Overloaded(min(max(self._mean_s, RETRY_AFTER_MIN_S), RETRY_AFTER_MAX_S))
        asking = Asking(job_ids, at_ms, self._clock())
        self._count(len(job_ids))
        for job_id in asking.missing:
            self._by_job[job_id] = (*self._by_job.get(job_id, ()), asking)
        return asking

    def end(self, asking: Asking) -> None:
        """The request is over, one way or the other."""
        self._mean_s += _NEW_SHARE * (self._clock() - asking.began - self._mean_s)
        self._count(-len(asking.job_ids))
        for job_id in asking.missing:
            others = tuple(other for other in self._by_job[job_id] if other is not asking)
            if others:
                self._by_job[job_id] = others
            else:
                del self._by_job[job_id]

    def resolve(self, outcomes: Iterable[Outcome]) -> None:
        """Outcomes of whomever; those that nobody waits for are passed over."""
        for outcome in outcomes:
            for asking in self._by_job.pop(outcome.job_id, ()):
                asking.resolve(outcome)

    def confirmed(self, job_ids: Iterable[str]) -> None:
        """Kafka has these; from any thread, for it wakes nobody."""
        for job_id in job_ids:
            for asking in self._by_job.get(job_id, ()):
                asking.unconfirmed.discard(job_id)

    def failed(self, job_ids: Iterable[str] | None, error: Unavailable) -> None:
        """Kafka did not take these, or, for None, nobody will learn of any."""
        for job_id in tuple(self._by_job) if job_ids is None else job_ids:
            for asking in self._by_job.get(job_id, ()):
                asking.fail(error)

    def since(self) -> dict[str, int]:
        """When each job that misses its outcome was asked for, in Unix milliseconds; from any thread."""
        return {job_id: askings[0].at_ms for job_id, askings in self._by_job.copy().items()}

    def _count(self, jobs: int) -> None:
        self._jobs += jobs
        metrics.GATEWAY_WAITING.labels("request").set(self._jobs)
