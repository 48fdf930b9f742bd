"""The chunks that are under way: which records, whose offsets, and what to commit for them. Pure bookkeeping."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Self

from kafka import TopicPartition

from pipeline.outgoing import Outgoing
from workers.attempts import Marker

CHUNKS_MAX: Final = 2
"""One is computed, and the next waits for the model."""

Offsets = Mapping[TopicPartition, tuple[int, str]]
"""What to commit: offset and metadata a partition."""


def partition_of(record: Any) -> TopicPartition:  # noqa: ANN401 (kafka-python is untyped)
    """Where a consumer record comes from."""
    return TopicPartition(record.topic, record.partition)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records that are computed together, from `begins` to `ends`, the offsets to commit when they are done."""

    records: Sequence[Any]
    begins: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]

    @classmethod
    def of(cls, records: Sequence[Any]) -> Self:
        """A chunk of consumer records, those of a partition in their order."""
        begins = {partition_of(record): record.offset for record in reversed(records)}
        return cls(records, begins, {partition_of(record): record.offset + 1 for record in records})


class UnderWay:
    """Chunks in the order in which they are to be finished, each with what it will lead to."""

    def __init__(self) -> None:
        self._chunks: deque[tuple[Chunk, Future[list[Outgoing]]]] = deque()
        self.records: Sequence[Any] = ()
        """Of all chunks; any thread may read it."""

    def __len__(self) -> int:
        return len(self._chunks)

    def add(self, chunk: Chunk, outgoing: Future[list[Outgoing]]) -> None:
        """`chunk` is computed after the others."""
        self._chunks.append((chunk, outgoing))
        self._tell()

    def oldest(self) -> Future[list[Outgoing]]:
        """What the chunk that is finished next leads to."""
        return self._chunks[0][1]

    def finished(self) -> Offsets:
        """The oldest is delivered: forget it; returns what to commit, with the marks of those that follow it."""
        done, _ = self._chunks.popleft()
        self._tell()
        marked = {partition: Marker(end).dump() for chunk, _ in self._chunks for partition, end in chunk.ends.items()}
        return {partition: (end, marked.get(partition, "")) for partition, end in done.ends.items()}

    def marks(self, chunk: Chunk) -> Offsets:
        """The partitions of a chunk to come, each marked from where all that is under way begins to where the chunk ends."""
        begins = {**chunk.begins, **self._begins()}
        return {partition: (begins[partition], Marker(end).dump()) for partition, end in chunk.ends.items()}

    def unblamed(self) -> Offsets:
        """The partitions on whose records no model failed, from where they begin, without marks."""
        blamed = {partition for chunk, outgoing in self._chunks if _failed(outgoing) for partition in chunk.begins}
        return {partition: (begin, "") for partition, begin in self._begins().items() if partition not in blamed}

    def clear(self) -> None:
        """Forget all."""
        self._chunks.clear()
        self._tell()

    def _begins(self) -> dict[TopicPartition, int]:
        return {partition: begin for chunk, _ in reversed(self._chunks) for partition, begin in chunk.begins.items()}

    def _tell(self) -> None:
        self.records = tuple(record for chunk, _ in self._chunks for record in chunk.records)


def _failed(outgoing: Future[list[Outgoing]]) -> bool:
    return outgoing.done() and outgoing.exception() is not None
