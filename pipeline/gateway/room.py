"""Jobs that were handed over and have no outcome: at most so many at once, so that a batch never fills the queues by itself."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from typing import Final

from pipeline import metrics
from pipeline.clock import now_ms
from pipeline.gateway.contract import Unavailable

_LOG = logging.getLogger(__name__)
KEPT_S: Final = 3600
"""A job without an outcome for so long takes no room any more: else lost ones would at last leave none."""
_LOOK_S: Final = 30
"""How often a wait for room looks for such jobs."""


class Room:
    """For the event loop's thread, but for `holds` and `since`. Whoever comes first gets room first."""

    def __init__(self, jobs_max: int, taken: Mapping[str, int], clock_ms: Callable[[], int] = now_ms) -> None:
        self._jobs_max = jobs_max
        self._clock_ms = clock_ms
        self._at_ms = dict(taken)
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._closed: Unavailable | None = None
        self._show()

    async def take(self, job_ids: Sequence[str]) -> int:
        """Wait for room for these, and take it; returns the time in Unix milliseconds. Raises Unavailable once closed."""
        async with self._turn:
            while not self._fits(job_ids):
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._changed.wait()
            if self._closed:
                raise self._closed
            now_ms = self._clock_ms()
            for job_id in job_ids:
                self._at_ms.setdefault(job_id, now_ms)
            self._show()
            return now_ms

    def leave(self, job_ids: Iterable[str]) -> None:
        """These have their outcome, or were not published; unknown ones are passed over."""
        for job_id in job_ids:
            self._at_ms.pop(job_id, None)
        self._changed.set()
        self._show()

    def close(self, error: Unavailable) -> None:
        """Nobody gets room any more; whoever waits for it gets `error`."""
        self._closed = error
        self._changed.set()

    def holds(self, job_id: str) -> bool:
        """Whether this one was handed over and has no outcome; from any thread."""
        return job_id in self._at_ms

    def since(self) -> dict[str, int]:
        """When each was handed over, in Unix milliseconds; from any thread."""
        return self._at_ms.copy()

    def _fits(self, job_ids: Sequence[str]) -> bool:
        self._forget_lost()
        fresh = sum(job_id not in self._at_ms for job_id in job_ids)
        return bool(self._closed) or len(self._at_ms) + fresh <= self._jobs_max

    def _forget_lost(self) -> None:
        before_ms = self._clock_ms() - 1000 * KEPT_S
        lost = [job_id for job_id, _ in takewhile(lambda row: row[1] < before_ms, self._at_ms.items())]  # they stand in order
        if lost:
            _LOG.warning("%d jobs, %s among them, have no outcome after %d s", len(lost), lost[0], KEPT_S)
            self.leave(lost)

    def _show(self) -> None:
        metrics.GATEWAY_WAITING.labels("batch").set(len(self._at_ms))
