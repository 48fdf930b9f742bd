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
    generation_id: int


@dataclass(slots=True, eq=False)
class Slot:
    """An admitted event's place in the queue."""

    event: Ackable
    done: bool = False


class AckGate:
    """In-order acknowledgement; `generation` tells the consumer group's present generation. Not thread-safe: one event loop."""

    def __init__(self, generation: Callable[[], int]) -> None:
        self._generation = generation
        self._admitted = -1
        self._queues: dict[tuple[str, int], deque[Slot]] = {}

    def admit(self, event: Ackable) -> Slot:
        """A place for `event` behind all admitted before it; a new generation forgets the old one's places."""
        if event.message.generation_id != self._admitted:
            self._queues.clear()
            self._admitted = event.message.generation_id
        slot = Slot(event)
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
        return sum(self._release(self._queues.get(partition)) for partition in partitions)

    @staticmethod
    def _release(queue: deque[Slot] | None) -> int:
        released = 0
        while queue and queue[0].done:
            queue.popleft().event.ack()
            released += 1
        return released
