"""The desk: jobs out to Kafka, outcomes back from it, for every part of the gateway.

Two producers, so that a request never waits behind a batch; one reader of the replies; a look-up for replies that do not come.
All that waits is bounded: requests are turned away where too many wait, batches wait for room.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import kafka as options
from pipeline import metrics
from pipeline.clock import now_ms
from pipeline.gateway.asking import Asked
from pipeline.gateway.contract import Late, Outcome, Sink, Unavailable
from pipeline.gateway.ledger import Ledger
from pipeline.gateway.lookup import LookUps, Since
from pipeline.gateway.publishing import Publishing
from pipeline.gateway.replies import Replies
from pipeline.gateway.room import KEPT_S, Room
from pipeline.publish import Delivery
from pipeline.refusal import failure
from pipeline.settings import Settings
from schemas.errors import FatalError, LLMOSError, TransientError
from schemas.jobs import TextJob

if TYPE_CHECKING:
    from pipeline.spans import Tracing

PIECE_JOBS: Final = 500
"""Jobs of a batch that wait for room and for Kafka together: large enough to be quick, small enough to take turns."""


class KafkaDesk:
    """The contract's Desk over Kafka, between `start` and `stop`. `folder` keeps how far it has come.

    Once it cannot go on, everything under way ends with Unavailable, and `on_end` gets the error, on the event loop's thread.
    """

    def __init__(
        self, settings: Settings, folder: Path, on_end: Callable[[Exception], None], tracing: "Tracing | None" = None
    ) -> None:
        self._settings = settings
        self._on_end = on_end
        self._closed: Unavailable | None = None
        self._stopped = False
        notes = options.notes_folder(settings) or folder  # what an embedded broker held is gone with it
        self._ledger = Ledger(notes / f"desk-{settings.gateway_topic}.sqlite3")
        self._asked = Asked(settings.gateway_in_flight_jobs)
        self._room = Room(settings.gateway_batch_in_flight_jobs, self._ledger.handed_over(now_ms() - 1000 * KEPT_S))
        self._asking = Publishing(
            settings, "ask", tracing, on_delivered=self._delivered, on_failed=self._not_published, on_broken=self._broken
        )
        self._batches = Publishing(settings, "hand-over", tracing, on_broken=self._broken)
        self._look_ups = LookUps(settings, self._ledger, self._since)
        self.replies = Replies(
            settings, self._ledger, self._room, self._look_ups, tracing, on_outcomes=self._outcomes, on_end=self._broken
        )

    async def start(self, sinks: Sequence[Sink]) -> None:
        """Connect and read from now on; raises TransientError or ConfigurationError where that does not work."""
        self._loop = asyncio.get_running_loop()
        await self._asking.start()
        await self._batches.start()
        self.replies.start(sinks)
        await asyncio.wrap_future(self.replies.opened)

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        """As the contract says; a request for more jobs than may wait is let in when no other waits."""
        if self._closed:
            raise self._closed
        asking = self._asked.begin([job.job_id for job in jobs], now_ms())
        try:
            self._asking.send(jobs)
            metrics.GATEWAY_JOBS.labels("request").inc(len(jobs))
            return await asking.outcomes(self._settings.http_wait_s if wait_s is None else wait_s)
        except Late as late:
            metrics.GATEWAY_LATE.inc(len(late.job_ids))
            raise
        finally:
            self._asked.end(asking)

    async def hand_over(self, jobs: Sequence[TextJob]) -> None:
        """As the contract says; a piece at a time, so that others get their turn."""
        size = min(PIECE_JOBS, self._settings.gateway_batch_in_flight_jobs)
        for first in range(0, len(jobs), size):
            await self._hand_over(jobs[first : first + size])

    async def _hand_over(self, jobs: Sequence[TextJob]) -> None:
        job_ids = [job.job_id for job in jobs]
        at_ms = await self._room.take(job_ids)
        try:
            await self._batches.deliver(jobs, lambda: self._ledger.hand_over(job_ids, at_ms))
            metrics.GATEWAY_JOBS.labels("batch").inc(len(jobs))
        except LLMOSError as error:
            self._room.leave(job_ids)
            if not isinstance(error, TransientError):
                self._end(error)
            raise Unavailable(str(error)) from error

    async def stop(self) -> None:
        """Let go of everything; whoever still waits gets Unavailable. Once is enough."""
        if self._stopped:
            return
        self._stopped = True
        self._close("the gateway is stopping")
        self._look_ups.stop()
        await asyncio.to_thread(self.replies.stop)
        await asyncio.gather(self._asking.stop(), self._batches.stop())
        self._ledger.close()

    def _since(self) -> Since:
        return {**self._room.since(), **self._asked.since()}

    def _outcomes(self, outcomes: Sequence[Outcome]) -> None:
        self._loop.call_soon_threadsafe(self._resolve, outcomes)

    def _resolve(self, outcomes: Sequence[Outcome]) -> None:
        self._asked.resolve(outcomes)
        self._room.leave(outcome.job_id for outcome in outcomes)

    def _delivered(self, delivery: Delivery) -> None:
        self._asked.confirmed(delivery.job_ids)

    def _not_published(self, job_ids: Sequence[str], error: Exception) -> None:
        named = failure("jobs were not published", error)
        self._loop.call_soon_threadsafe(self._asked.failed, job_ids, Unavailable(str(named)))
        if isinstance(named, FatalError):
            self._broken(named)

    def _broken(self, error: Exception) -> None:
        with suppress(RuntimeError):  # the loop is closed: everything is over
            self._loop.call_soon_threadsafe(self._end, error)

    def _end(self, error: Exception) -> None:
        if not self._closed:
            self._close("the gateway is going down")
            self._on_end(error)

    def _close(self, why: str) -> None:
        self._closed = self._closed or Unavailable(why)
        self._asked.failed(None, self._closed)
        self._room.close(self._closed)
