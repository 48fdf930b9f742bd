"""What the preprocess app has to do and what it has finished, as the watchdog asks for it; and no intake while commits hang.

Finished is what is acknowledged once a round of commits has come to its end: a commit that hangs finishes nothing, though
the stage may go on. Waiting is what lies beyond the consumer's position, and what was fetched and is not finished. The position
is the consumer's own, and not the committed offset: markers of transactions are never acknowledged, and are no work.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import Any, Final

import faust

from pipeline.backlog import Backlog
from pipeline.preprocess.gate import AckGate

COMMIT_OVERDUE_S: Final = 2.0
"""Four rounds of commits, as often as Faust makes them. What is delivered meanwhile comes again if the process dies."""


class FaustProgress(faust.Sensor):
    """A sensor of the app, so that it hears of commits. The watchdog's thread reads single values of other threads, no more."""

    def __init__(self, app: faust.App, gate: AckGate, backlog: Backlog, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._app = app
        self._gate = gate
        self._backlog = backlog
        self._partitions: Collection[tuple[str, int]] = ()
        self._finished = 0
        self._clock = clock
        self._ended_at = clock()
        self._round_ended = asyncio.Event()

    def assigned(self, partitions: Collection[Any]) -> None:
        """These are ours until the next assignment: a rejoin that never ends must not look like having nothing to do."""
        self._partitions = frozenset((place.topic, place.partition) for place in partitions)

    @property
    def partitions(self) -> Collection[tuple[str, int]]:
        """Those that are ours."""
        return self._partitions

    def on_commit_completed(self, consumer: object, state: object) -> None:  # noqa: ARG002 (Faust's signature)
        """A round of commits has ended, whether or not there was anything to commit."""
        self._finished = self._gate.acknowledged
        self._ended_at = self._clock()
        self._round_ended.set()

    async def committing(self) -> None:
        """Return at once, but where something is acknowledged and commits are overdue only after the next round of them.

        While a broker is away, or a group without its coordinator, commits hang and records may still come and go.
        """
        while self._gate.acknowledged > self._finished and self._clock() - self._ended_at > COMMIT_OVERDUE_S:
            self._round_ended.clear()
            await self._round_ended.wait()

    def counts(self) -> tuple[int, int]:
        """Partitions that are ours, and records acknowledged before the last round of commits."""
        return len(self._partitions), self._finished

    def lag(self) -> int:
        """Records that are not fetched, acknowledged and given to a commit; raises where the broker does not answer."""
        waiting = self._backlog.waiting(self._partitions)
        unread = sum(found.records(position_of(self._app.consumer, place)) for place, found in waiting.items())
        present = self._app.consumer_generation_id
        unacknowledged = sum(message.generation_id == present for message in self._app.consumer.unacked)
        return unread + unacknowledged + self._gate.acknowledged - self._finished

    def loops(self) -> list[asyncio.AbstractEventLoop]:
        """The event loops whose tasks tell what hangs: the app's, and that of aiokafka's thread."""
        thread = getattr(self._app.consumer, "_thread", None)
        return [loop for loop in (self._app.loop, getattr(thread, "thread_loop", None)) if loop is not None]


def position_of(consumer: Any, place: tuple[str, int]) -> int | None:  # noqa: ANN401 (private parts of Faust and aiokafka)
    """The next offset that the consumer will fetch; None where it has no such position, or no such partition."""
    try:
        assignment = consumer._thread._consumer._subscription.subscription.assignment  # noqa: SLF001 (versions are pinned)
        state = assignment.state_value(place)
    except AttributeError:  # not started, not subscribed, or not assigned yet
        return None
    return state.position if state is not None and state.has_valid_position else None
