"""Carries batches from their file to their output: one task for each, taken up again after a restart where the database says.

Files are read and written one at a time. Jobs are handed over in short slices. Within a tenant one batch after the other hands
over, the oldest first; tenants take turns, slice by slice, so that a small tenant does not wait behind a large one's file.
"""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice
from typing import Final

from pipeline.backoff import wait_s
from pipeline.gateway.contract import Desk, Unavailable
from pipeline.gateway.openai.lines import Line, RawLine, parse_line, read_pieces
from pipeline.gateway.openai.moderation_request import parse_request
from pipeline.gateway.openai.outputs import write_outputs
from pipeline.gateway.openai.replies import Batch, BatchFault
from pipeline.gateway.openai.sink import job_id
from pipeline.gateway.openai.steps import in_thread
from pipeline.gateway.openai.validation import Stores, validate
from schemas.base import timestamp_from_ms
from schemas.jobs import TextJob

SLICE_JOBS: Final = 500
"""Jobs handed over at once: a turn of one tenant."""
_RETRY_FIRST_S: Final = 0.2
_RETRY_MOST_S: Final = 30
"""Between tries while Kafka or the disk lets us down; a batch tries until its end of time."""

SILENCE_S: Final = 3_600
"""Jobs without an outcome are handed over again when none of their batch has come for so long: a broker may have lost them."""

_log = logging.getLogger(__name__)


class Runner:
    """For the event loop's thread, but for `wake`."""

    def __init__(self, stores: Stores, desk: Desk, *, slice_jobs: int, clock: Callable[[], float] = time.time) -> None:
        self._stores = stores
        self._desk = desk
        self._slice_jobs = min(SLICE_JOBS, slice_jobs)
        self._clock = clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._answered: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._tenants: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._turn = asyncio.Lock()
        self._reading = asyncio.Lock()

    async def start(self) -> None:
        """Take up every batch that is not at its end."""
        self._loop = asyncio.get_running_loop()
        for batch_id, tenant in await asyncio.to_thread(self._stores.batches.unfinished):
            self.take_up(batch_id, tenant)

    async def stop(self) -> None:
        """Let go of all; what a thread is doing ends by itself, soon."""
        self._loop = None
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def take_up(self, batch_id: str, tenant: str) -> None:
        """Work on a batch from the state that it is in; whoever works on it already lets go of it."""
        before = self._tasks.pop(batch_id, None)
        if before:
            before.cancel()
        task = self._tasks[batch_id] = asyncio.create_task(self._run_to_end(batch_id, tenant), name=batch_id)
        task.add_done_callback(lambda done: self._let_go(batch_id, done))

    def wake(self, batch_ids: Collection[str]) -> None:
        """These batches have new outcomes. For any thread."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(self._wake, tuple(batch_ids))
        except RuntimeError:  # the loop has ended meanwhile: the outcomes are in the database
            _log.debug("outcomes after the end")

    def _wake(self, batch_ids: Collection[str]) -> None:
        for batch_id in batch_ids:
            if batch_id in self._answered:
                self._answered[batch_id].set()

    def _let_go(self, batch_id: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(batch_id) is task:
            del self._tasks[batch_id]
            self._answered.pop(batch_id, None)

    async def _run_to_end(self, batch_id: str, tenant: str) -> None:
        failures = 0
        while True:
            try:
                return await self._run_or_fail(batch_id, tenant)
            except Exception:  # noqa: BLE001 (the runner of last resort: it logs and tries again)
                # A full disk, most likely. Or a bug: then the other batches must go on, and a newer version takes this one up.
                failures += 1
                _log.exception("batch %s is stuck and will be tried again", batch_id)
                await asyncio.sleep(wait_s(failures, first_s=1, most_s=_RETRY_MOST_S))

    async def _run_or_fail(self, batch_id: str, tenant: str) -> None:
        try:
            await self._run(batch_id, tenant)
        except FileNotFoundError:
            _log.exception("batch %s has lost its input file", batch_id)
            fault = BatchFault(code="file_not_found", message="The input file is no longer there.")
            await asyncio.to_thread(self._stores.batches.fail, batch_id, [fault])

    async def _run(self, batch_id: str, tenant: str) -> None:
        batch = await asyncio.to_thread(self._stores.batches.get, batch_id)
        try:
            async with asyncio.timeout(batch.expires_at - self._clock()) as window:
                await self._answer(batch, tenant)
        except TimeoutError:
            if not window.expired():
                raise
        batch = await asyncio.to_thread(self._stores.batches.seal, batch_id)
        if batch.status in {"finalizing", "cancelling"}:
            async with self._reading:
                await _drain(write_outputs(self._stores, batch))

    async def _answer(self, batch: Batch, tenant: str) -> None:
        """Return when every text has its outcome, or the batch cannot get any."""
        if batch.status == "validating":
            async with self._reading:
                await _drain(validate(self._stores, batch))
            batch = await asyncio.to_thread(self._stores.batches.get, batch.id)
        while batch.status == "in_progress":
            async with self._tenants[tenant]:
                await self._hand_over(batch, tenant)
            if await self._all_answered(batch.id):
                return

    async def _hand_over(self, batch: Batch, tenant: str) -> None:
        async for last_line, jobs in in_thread(self._unanswered_jobs(batch, tenant)):
            rest = iter(jobs)
            while part := list(islice(rest, self._slice_jobs)):
                await self._deliver(part)
            await asyncio.to_thread(self._stores.batches.handed_over, batch.id, last_line)

    async def _deliver(self, jobs: Sequence[TextJob]) -> None:
        failures = 0
        while True:
            try:
                async with self._turn:
                    return await self._desk.hand_over(jobs)
            except Unavailable:
                failures += 1
                await asyncio.sleep(wait_s(failures, first_s=_RETRY_FIRST_S, most_s=_RETRY_MOST_S))

    async def _all_answered(self, batch_id: str) -> bool:
        """Wait until every text has its outcome; false where none has come for too long."""
        answered = self._answered[batch_id]
        while True:
            answered.clear()
            if not await asyncio.to_thread(self._stores.texts.unanswered, batch_id):
                return True
            try:
                await asyncio.wait_for(answered.wait(), SILENCE_S)
            except TimeoutError:
                return False

    def _unanswered_jobs(self, batch: Batch, tenant: str) -> Iterator[tuple[int, list[TextJob]]]:
        """The last line of each piece of the file, and jobs for those of its texts that have no outcome."""
        for piece in read_pieces(self._stores.files.path(batch.input_file_id), self._stores.line_bytes_max):
            missing = self._stores.texts.missing(batch.id, piece[0].number, piece[-1].number)
            lines = {line for line, _ in missing}
            ids = {job_id(batch.id, line, index) for line, index in missing}
            jobs = [job for raw in piece if raw.number in lines for job in self._jobs(batch, tenant, raw)]
            yield piece[-1].number, [job for job in jobs if job.job_id in ids]

    def _jobs(self, batch: Batch, tenant: str, raw: RawLine) -> Iterator[TextJob]:
        line = parse_line(raw)
        assert isinstance(line, Line), "validation has passed it"
        request = parse_request(line.body, self._stores.rules)
        for index in request.scored():
            yield TextJob(
                job_id=job_id(batch.id, line.number, index),
                text=request.texts[index],
                tenant=tenant,
                created_at=timestamp_from_ms(batch.created_at * 1000),
            )


async def _drain(steps: Iterator[None]) -> None:
    async for _ in in_thread(steps):
        pass
