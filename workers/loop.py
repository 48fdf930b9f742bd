"""Consume, run, produce, commit, for one model. A chunk is committed when everything it led to is confirmed.

While a chunk is computed in the executor, the next is fetched and decoded here. One chunk is under way at a time, so
"the finished prefix is committed" needs no bookkeeping.
"""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import CommitFailedError, IllegalGenerationError, KafkaError, RebalanceInProgressError, UnknownMemberIdError
from kafka.structs import OffsetAndMetadata

from pipeline.outgoing import Outgoing
from schemas.errors import MessageError, TransientError
from schemas.work import Source, unpack
from workers.attempts import Marker, load_marker
from workers.score import WorkRecord

_LOG = logging.getLogger(__name__)
_POLL_MS: Final = 200
_POLL_RECORDS: Final = 32
"""Records fetched ahead, at most: what a rebalance makes another process do again."""
_LOST: Final = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
"""The partition belongs to somebody else now, who does the work again: no error."""


class Score(Protocol):
    """The scorer."""

    def __call__(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        """What the records lead to."""


class Recover(Protocol):
    """What goes on where a process died; see `workers.recovery`."""

    def __call__(self, loop: "Loop", partition: TopicPartition, offset: int, found: Marker) -> int:
        """Work on `partition` from `offset` until the marked records are done; returns the offset to go on from."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A chunk in the executor; `ends` are the offsets to commit when it is done."""

    outgoing: Future[list[Outgoing]]
    ends: dict[TopicPartition, int]


class Loop(ConsumerRebalanceListener):  # type: ignore[misc]
    """`run` until `stop`; raises TransientError where Kafka gave up, and whatever the scorer raises: nothing committed then."""

    def __init__(
        self,
        consumer: KafkaConsumer,
        score: Score,
        deliver: Callable[[Sequence[Outgoing]], None],
        *,
        recover: Recover,
        chunk_tokens: int,
        executor: Executor,
        on_assigned: Callable[[], None],
    ) -> None:
        self.consumer = consumer
        self.score = score
        self.deliver = deliver
        self._recover = recover
        self._chunk_tokens = chunk_tokens
        self._executor = executor
        self._on_assigned = on_assigned
        self._fetched: deque[Any] = deque()
        self._under_way: _UnderWay | None = None
        self._unchecked: set[TopicPartition] = set()
        self._stopping = False

    def stop(self) -> None:
        """Finish what is under way, then return from `run`; callable from a signal handler."""
        self._stopping = True

    def run(self, topic: str) -> None:
        """Work on `topic` until stopped."""
        self.consumer.subscribe([topic], listener=self)
        try:
            while not self._stopping:
                self._step()
            self._finish()
        except KafkaError as error:
            raise TransientError(f"Kafka: {error!r}") from error

    def _step(self) -> None:
        if not self._fetched:
            self._fetch(0 if self._under_way else _POLL_MS)
        self._look_for_deaths()
        records = self._take()
        if not records:
            self._finish()
            return
        decoded = [decode_record(record) for record in records]
        ends = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}
        begins = {TopicPartition(record.topic, record.partition): record.offset for record in reversed(records)}
        if self._under_way is None:
            self.commit({tp: (begins[tp], Marker(end).dump()) for tp, end in ends.items()})
        self._finish({tp: Marker(end).dump() for tp, end in ends.items()}, begins)
        self._under_way = _UnderWay(self._executor.submit(self.score, decoded), ends)

    def _fetch(self, timeout_ms: int) -> None:
        fetched = self.consumer.poll(timeout_ms=timeout_ms, max_records=_POLL_RECORDS)
        for records in fetched.values():
            self.keep(records)

    def keep(self, records: Sequence[Any]) -> None:
        """Work on `records` later, in the order in which they are kept."""
        self._fetched.extend(records)

    def _take(self) -> list[Any]:
        taken: list[Any] = []
        size = 0
        while self._fetched and (not taken or size + len(self._fetched[0].value or b"") // 2 <= self._chunk_tokens):
            taken.append(self._fetched.popleft())
            size += len(taken[-1].value or b"") // 2  # two bytes a token id, and descriptions count as their like
        return taken

    def _finish(self, markers: dict[TopicPartition, str] | None = None, begins: dict[TopicPartition, int] | None = None) -> None:
        """Wait for the chunk under way, deliver, commit; in the same commit, mark where the next chunk begins."""
        if self._under_way is None:
            return
        done, self._under_way = self._under_way, None
        self.deliver(done.outgoing.result())
        offsets = {tp: (end, "") for tp, end in done.ends.items()}
        for tp, marker in (markers or {}).items():
            assert begins is not None, "markers come with the offsets they stand at"
            offsets[tp] = (begins[tp], marker)
        self.commit(offsets)

    def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        """Commit (offset, metadata) a partition; quietly given up where the partition is no longer ours."""
        try:
            self.consumer.commit({tp: OffsetAndMetadata(offset, metadata, -1) for tp, (offset, metadata) in offsets.items()})
        except _LOST as error:
            _LOG.info("not committed, the group has changed: %s", type(error).__name__)

    def _look_for_deaths(self) -> None:
        for partition in sorted(self._unchecked & self.consumer.assignment()):
            committed = self.consumer.committed(partition, metadata=True)
            marker = load_marker(committed.metadata, committed.offset) if committed else None
            if committed and marker:
                self._finish()
                self._drop([partition])
                self.consumer.seek(partition, self._recover(self, partition, committed.offset, marker))
        self._unchecked.clear()

    def _drop(self, partitions: Sequence[TopicPartition]) -> None:
        gone = {(partition.topic, partition.partition) for partition in partitions}
        self._fetched = deque(record for record in self._fetched if (record.topic, record.partition) not in gone)

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """New partitions: before they are worked on, see whether somebody died over them."""
        self._unchecked.update(assigned)
        _LOG.info("assigned %d partitions", len(assigned))
        self._on_assigned()

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Finish and commit what is under way while the partitions are still ours."""
        self._finish()
        self._drop(list(revoked))
        self._unchecked.difference_update(revoked)

    def on_partitions_lost(self, lost: Sequence[TopicPartition]) -> None:
        """Too late to commit: somebody else does it again."""
        self.on_partitions_revoked(lost)


def decode_record(record: Any, attempt: int = 1) -> WorkRecord:  # noqa: ANN401 (kafka-python is untyped)
    """A consumer record with its bytes taken apart, or the reason why they cannot be."""
    source = Source(topic=record.topic, partition=record.partition, offset=record.offset)
    value = record.value or b""
    try:
        return WorkRecord(source, value, unpack(value), attempt)
    except MessageError as error:
        return WorkRecord(source, value, error, attempt)
