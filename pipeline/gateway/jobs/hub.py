"""Who listens to outcomes: each listener has a short queue, and where that is full the store has the rest."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from pipeline.gateway.contract import Overloaded
from pipeline.gateway.jobs.store import StoredJob
from pipeline.metrics import HTTP_STREAMS

LISTENERS_MAX: Final = 200
LISTENERS_PER_TENANT_MAX: Final = 50
QUEUE_MAX: Final = 1_000
"""Outcomes that wait for one listener; they are shared, so a queue is mostly pointers."""
RETRY_S: Final = 10.0
"""When one listener too many may try again."""


class Listener:
    """One client's queue. For the event loop's thread only."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.behind = False
        """Outcomes were left out, since the queue was full: the store has them."""
        self._queue: deque[StoredJob] = deque()
        self._wake = asyncio.Event()

    def put(self, job: StoredJob) -> None:
        """One more outcome; never blocks."""
        if len(self._queue) >= QUEUE_MAX:
            self._queue.clear()
            self.behind = True
        if not self.behind:
            self._queue.append(job)
        self._wake.set()

    async def next(self) -> list[StoredJob]:
        """What has come since; waits for it. Nothing where the listener is behind."""
        await self._wake.wait()
        self._wake.clear()
        found = list(self._queue)
        self._queue.clear()
        return found

    def catch_up(self) -> None:
        """The store is read from now on: what comes meanwhile is queued again."""
        self.behind = False
        self._queue.clear()


class Hub:
    """All listeners. For the event loop's thread; `announce_soon` for others."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._listeners: dict[str, list[Listener]] = {}
        self._count = 0

    def start(self) -> None:
        """Outcomes are told to this loop from now on."""
        self._loop = asyncio.get_running_loop()

    def stop(self) -> None:
        """Tell nobody any more."""
        self._loop = None

    def join(self, tenant: str) -> Listener:
        """A new listener, to be let go of by `leave`; raises Overloaded where there are too many."""
        listeners = self._listeners.setdefault(tenant, [])
        if self._count >= LISTENERS_MAX or len(listeners) >= LISTENERS_PER_TENANT_MAX:
            raise Overloaded(RETRY_S)
        listener = Listener(tenant)
        listeners.append(listener)
        self._count += 1
        HTTP_STREAMS.set(self._count)
        return listener

    def leave(self, listener: Listener) -> None:
        """It hears nothing more."""
        listeners = self._listeners[listener.tenant]
        listeners.remove(listener)
        if not listeners:
            del self._listeners[listener.tenant]
        self._count -= 1
        HTTP_STREAMS.set(self._count)

    def announce_soon(self, jobs: Sequence[StoredJob]) -> None:
        """Tell the listeners; from any thread, in the order of the calls."""
        if jobs and self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._announce, jobs)

    def _announce(self, jobs: Sequence[StoredJob]) -> None:
        for job in jobs:
            for listener in self._listeners.get(job.tenant, ()):
                listener.put(job)
