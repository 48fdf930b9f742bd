"""The chunks that a worker has in hand, oldest first, and what may be committed about them.

Two threads ask: the loop's own, and kafka-python's, which revokes partitions whenever it likes. One lock makes it certain that a
chunk is finished once, and that it stays here until all it led to is delivered: offsets beyond a chunk are never committed
before that. The lock is not held over a commit, for which kafka-python's thread is needed.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

from pipeline.outgoing import Outgoing
from workers.attempts import Marker

Offsets = dict[TopicPartition, tuple[int, str]]
"""What to commit: offset and metadata a partition."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records on their way to `outgoing`, in the order of their offsets."""

    records: Sequence[Any]
    outgoing: Future[list[Outgoing]]

    @property
    def failed(self) -> bool:
        """Whether its scorer raised."""
        return self.outgoing.done() and self.outgoing.exception() is not None


class UnderWay:
    """Chunks from their scoring to their delivery; `deliver` waits for a chunk and delivers it, or raises."""

    def __init__(self, deliver: Callable[[Chunk], None]) -> None:
        self._deliver = deliver
        self._chunks: deque[Chunk] = deque()
        self._busy = threading.Lock()

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk) -> None:
        """One more, the youngest."""
        self._chunks.append(chunk)

    def clear(self) -> None:
        """Forget all of them: the end."""
        self._chunks.clear()

    def records(self) -> list[Any]:
        """Of all chunks."""
        return [record for chunk in tuple(self._chunks) for record in chunk.records]

    def marks(self, records: Sequence[Any]) -> Offsets:
        """For the partitions of `records`, a chunk to come: where all that is under way begins, and a marker of where it ends."""
        oldest = begins([*self.records(), *records])
        return {partition: (oldest[partition], Marker(end).dump()) for partition, end in ends(records).items()}

    def settle(self) -> Offsets:
        """Deliver the oldest chunk, if there is one; returns what to commit now. What follows it stays marked."""
        with self._busy:
            if not self._chunks:
                return {}
            oldest = self._chunks[0]
            self._deliver(oldest)
            self._chunks.popleft()
            marked = ends(self.records())
            return {
                partition: (end, Marker(marked[partition]).dump() if partition in marked else "")
                for partition, end in ends(oldest.records).items()
            }

    def settle_all(self) -> Offsets:
        """Deliver all of them; returns what to commit now."""
        done: Offsets = {}
        while self._chunks:
            done |= self.settle()
        return done

    def blameless(self) -> Offsets:
        """What to commit in place of the markers of records whose scorer did not raise."""
        blamed = {partition for chunk in self._chunks if chunk.failed for partition in ends(chunk.records)}
        return {partition: (begin, "") for partition, begin in begins(self.records()).items() if partition not in blamed}


def partition_of(record: Any) -> TopicPartition:  # noqa: ANN401 (kafka-python is untyped)
    """Where a consumer record comes from."""
    return TopicPartition(record.topic, record.partition)


def begins(records: Sequence[Any]) -> Mapping[TopicPartition, int]:
    """The first offset of each partition."""
    return {partition_of(record): record.offset for record in reversed(records)}


def ends(records: Sequence[Any]) -> Mapping[TopicPartition, int]:
    """The offset after the last of each partition."""
    return {partition_of(record): record.offset + 1 for record in records}
