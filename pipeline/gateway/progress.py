"""What the gateway has read of its replies and what waits there, as the watchdog asks for it."""

from pipeline.backlog import Backlog
from pipeline.gateway.replies import Replies
from pipeline.settings import Settings


class ReplyProgress:
    """For the watchdog's thread, which reads single values of another thread and no more."""

    def __init__(self, settings: Settings, replies: Replies) -> None:
        self._replies = replies
        self._backlog = Backlog(settings)

    def counts(self) -> tuple[int, int]:
        """Partitions of the reply topic, and records read of them so far."""
        positions = self._replies.positions.copy()
        return len(positions), sum(positions.values())

    def positions(self) -> dict[tuple[str, int], int]:
        """Partitions of the reply topic, and what is read next of each."""
        return {(place.topic, place.partition): offset for place, offset in self._replies.positions.copy().items()}

    def lag(self) -> int:
        """Replies that nobody has read; asks the broker."""
        positions = self._replies.positions.copy()
        waiting = self._backlog.waiting([(place.topic, place.partition) for place in positions])
        return sum(waiting[place.topic, place.partition].records(position) for place, position in positions.items())
