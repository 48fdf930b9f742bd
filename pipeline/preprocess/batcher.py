"""Moves records through the stage: gathers, runs it in a thread, delivers what it gives, and only then lets offsets move.

Bounded: `put` waits once `in_flight_records` or `in_flight_bytes` are taken up, counted from the oldest that is not delivered:
what is delivered behind it cannot be acknowledged before it, lies in memory so long, and comes again if the process dies.
Records wait for company only while others are being prepared or delivered, so a lone job on an idle system goes at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from pipeline.outgoing import Outgoing
from pipeline.preprocess.decode import JobRecord
from pipeline.preprocess.gate import AckGate, Slot

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is gathered, and how much may be on its way."""

    batch_records: int
    batch_bytes: int
    in_flight_records: int
    in_flight_bytes: int
    linger_s: float


class Run(Protocol):
    """The stage."""

    def __call__(self, records: Sequence[JobRecord]) -> list[Outgoing]:
        """What the records lead to."""


class Batcher:
    """`put` events as they come; `deliver` must return only when the broker has confirmed everything, or raise."""

    def __init__(
        self,
        run: Run,
        deliver: Callable[[Sequence[Outgoing]], Awaitable[None]],
        gate: AckGate,
        *,
        limits: Limits,
        executor: Executor,
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self._run = run
        self._deliver = deliver
        self._gate = gate
        self._limits = limits
        self._executor = executor
        self._on_fatal = on_fatal
        self._waiting: list[tuple[Slot, JobRecord, int]] = []
        self._waiting_bytes = 0
        self._in_flight: deque[tuple[Slot, int, int]] = deque()
        self._in_flight_bytes = self._on_the_way = 0
        self._arrived, self._enough, self._room = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._deliveries: set[asyncio.Task[None]] = set()

    async def put(self, slot: Slot, record: JobRecord) -> None:
        """Take up one admitted record; waits while too much is on its way."""
        size = len(record.value or b"") + len(record.key or b"")
        self._waiting.append((slot, record, size))
        self._waiting_bytes += size
        self._in_flight.append((slot, size, record.timestamp_ms))
        self._in_flight_bytes += size
        self._arrived.set()
        if self._is_batch():
            self._enough.set()
        while len(self._in_flight) >= self._limits.in_flight_records or self._in_flight_bytes >= self._limits.in_flight_bytes:
            self._room.clear()
            await self._room.wait()

    def in_hand(self) -> int:
        """Records taken up and not yet delivered; from any thread."""
        return len(self._in_flight)

    def oldest_ms(self) -> int | None:
        """When the broker took the first of them, in Unix milliseconds; from any thread."""
        try:
            return self._in_flight[0][2]
        except IndexError:
            return None

    async def drain(self) -> None:
        """Return when everything that was taken up is delivered and through the gate."""
        while self._in_flight:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Prepare what arrives, batch after batch, until cancelled; anything unforeseen is fatal, never swallowed."""
        try:
            while True:
                await self._arrived.wait()
                await self._linger()
                await self._prepare(self._take())
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a panic of the Rust tokenizer is no Exception
            self._on_fatal(error)
            raise

    async def _linger(self) -> None:
        if self._on_the_way == 0 or self._is_batch() or self._limits.linger_s == 0:
            return
        self._enough.clear()
        try:
            await asyncio.wait_for(self._enough.wait(), self._limits.linger_s)
        except TimeoutError:
            return

    def _is_batch(self) -> bool:
        return len(self._waiting) >= self._limits.batch_records or self._waiting_bytes >= self._limits.batch_bytes

    def _take(self) -> list[tuple[Slot, JobRecord, int]]:
        count = size = 0
        while count < min(len(self._waiting), self._limits.batch_records) and (count == 0 or size < self._limits.batch_bytes):
            size += self._waiting[count][2]
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        self._waiting_bytes -= size
        if not self._waiting:
            self._arrived.clear()
        return taken

    async def _prepare(self, taken: list[tuple[Slot, JobRecord, int]]) -> None:
        loop = asyncio.get_running_loop()
        self._on_the_way += 1
        output = await loop.run_in_executor(self._executor, self._run, [record for _, record, _ in taken])
        task = loop.create_task(self._finish(taken, output))
        self._deliveries.add(task)
        task.add_done_callback(self._finished)

    async def _finish(self, taken: list[tuple[Slot, JobRecord, int]], output: list[Outgoing]) -> None:
        await self._deliver(output)
        self._gate.done(slot for slot, _, _ in taken)
        self._on_the_way -= 1
        if self._on_the_way == 0:
            self._enough.set()
        while self._in_flight and self._in_flight[0][0].done:
            self._in_flight_bytes -= self._in_flight.popleft()[1]
        self._room.set()

    def _finished(self, task: asyncio.Task[None]) -> None:
        # An undelivered or unacknowledged batch must stop the process, whatever the reason.
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._on_fatal(error)
