"""What a worker has to do and what it has finished, as the watchdog asks for it.

Every commit counts as finished, and every run of the model: a giant text is many runs, and only one of them that does not
end is a standstill.
"""

from collections.abc import Callable

from pipeline.backlog import Backlog
from workers.loop import Loop


class WorkerProgress:
    """The watchdog's thread reads single values of other threads, no more."""

    def __init__(self, loop: Loop, runs: Callable[[], int], backlog: Backlog) -> None:
        self._loop = loop
        self._runs = runs
        self._backlog = backlog

    def counts(self) -> tuple[int, int]:
        """Partitions that are ours, and commits and model runs so far."""
        return len(self._loop.assigned), self._loop.commits + self._runs()

    def partitions(self) -> dict[tuple[str, int], None]:
        """Those that are ours, to be read from what the group has committed."""
        return dict.fromkeys((place.topic, place.partition) for place in self._loop.assigned)

    def in_hand(self) -> int:
        """Records that are being worked on."""
        return len(self._loop.in_hand)

    def oldest_ms(self) -> int | None:
        """When the oldest of them was packed, in Unix milliseconds."""
        return min((record.timestamp for record in self._loop.in_hand), default=None)

    def lag(self) -> int:
        """Records that the group has not committed on our partitions; raises where the broker does not answer."""
        return sum(found.records() for found in self._backlog.waiting(self._loop.assigned).values())
