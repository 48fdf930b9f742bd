"""The chunks that are under way: which records, whose offsets, and what to commit for them. Pure bookkeeping.

kafka-python may revoke partitions on its own thread while ours waits for the same chunk: both may finish it, and each only what
it has delivered.
"""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Self

from kafka import TopicPartition

from pipeline.outgoing import Outgoing
from workers.attempts import Marker

CHUNKS_MAX: Final = 1
"""More would spare the model its waits for deliveries and commits; that is not proved yet (`tests/acceptance/chaos.py`)."""

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
    """Chunks in the order in which they are to be finished, each with what it will lead to. Any thread may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chunks: tuple[tuple[Chunk, Future[list[Outgoing]]], ...] = ()

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def records(self) -> Sequence[Any]:
        """Of all chunks."""
        return [record for chunk, _ in self._chunks for record in chunk.records]

    def add(self, chunk: Chunk, outgoing: Future[list[Outgoing]]) -> None:
        """`chunk` is computed after the others."""
        with self._lock:
            self._chunks = (*self._chunks, (chunk, outgoing))

    def oldest(self) -> tuple[Chunk, Future[list[Outgoing]]] | None:
        """The chunk that is finished next, and what it leads to."""
        chunks = self._chunks
        return chunks[0] if chunks else None

    def finished(self, done: Chunk) -> Offsets:
        """`done` is delivered: forget it; returns what to commit, with the marks of those that follow it."""
        with self._lock:
            self._chunks = tuple((chunk, outgoing) for chunk, outgoing in self._chunks if chunk is not done)
            following = self._chunks
        marked = {partition: Marker(end).dump() for chunk, _ in following for partition, end in chunk.ends.items()}
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
        with self._lock:
            self._chunks = ()

    def _begins(self) -> dict[TopicPartition, int]:
        return {partition: begin for chunk, _ in reversed(self._chunks) for partition, begin in chunk.begins.items()}


def _failed(outgoing: Future[list[Outgoing]]) -> bool:
    return outgoing.done() and outgoing.exception() is not None
