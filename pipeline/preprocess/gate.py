"""The ack gate: acknowledgements leave in the order of delivery, partition by partition, generation by generation.

Faust commits past what is still in flight as soon as acknowledgements come out of order. Through this gate they never do:
an event is acknowledged only once it and all before it on its partition are done, and never after its partition was taken away.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol


class Ackable(Protocol):
    """What the gate needs of a Faust event."""

    message: "Placed"

    def ack(self) -> bool:
        """Acknowledge; Faust may commit past this event from now on."""


class Placed(Protocol):
    """What the gate needs of a Faust message."""

    tp: tuple[str, int]
    offset: int
    generation_id: int


@dataclass(slots=True, eq=False)
class Slot:
    """An admitted event's place in the queue."""

    event: Ackable
    done: bool = False


class AckGate:
    """In-order acknowledgement; `generation` tells the consumer group's present generation. Not thread-safe: one event loop."""

    def __init__(self, generation: Callable[[], int]) -> None:
        self.acknowledged = 0
        """Events acknowledged since the start: a sign of life for the watchdog."""
        self._generation = generation
        self._admitted = -1
        self._queues: dict[tuple[str, int], deque[Slot]] = {}
        self._ends: dict[tuple[str, int], int] = {}

    def admit(self, event: Ackable) -> Slot:
        """A place for `event` behind all admitted before it; a new generation forgets the old one's places.

        An event of a generation that is over gets a place outside the queues: it is worked on, and never acknowledged.
        """
        slot = Slot(event)
        generation = event.message.generation_id
        if generation != self._generation():
            return slot
        if generation != self._admitted:
            self._queues.clear()
            self._ends.clear()
            self._admitted = generation
        self._queues.setdefault(event.message.tp, deque()).append(slot)
        return slot

    def done(self, slots: Iterable[Slot]) -> int:
        """Mark `slots` as done and acknowledge every finished prefix; returns how many events were acknowledged."""
        present = self._generation()
        partitions = set()
        for slot in slots:
            slot.done = True
            if slot.event.message.generation_id == present:
                partitions.add(slot.event.message.tp)
        released = sum(self._release(self._queues.get(partition)) for partition in partitions)
        self.acknowledged += released
        return released

    def ends(self, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Of those of `partitions` with acknowledged events in the present generation: the offset behind the last."""
        if self._admitted != self._generation():
            return {}
        return {partition: self._ends[partition] for partition in partitions if partition in self._ends}

    def _release(self, queue: deque[Slot] | None) -> int:
        released = 0
        while queue and queue[0].done:
            event = queue.popleft().event
            event.ack()
            self._ends[event.message.tp] = event.message.offset + 1
            released += 1
        return released
