"""Consume, run, produce, commit, for one model. A chunk is committed when everything it led to is confirmed.

Two chunks at most are under way: while one is delivered and committed, the model works on the other. They are finished in
order, so "the finished prefix is committed" needs no bookkeeping.

Two habits of kafka-python matter. It calls the listener on its own thread, where only `commit_async` may be used. And a
partition that stays ours over a rebalance keeps its position: what was fetched and is thrown away would never come again, so
it is put back. Whatever else may happen to a position, no record is taken up behind one that never came
(`pipeline.succession`).
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from typing import Any, Final, Protocol

from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from kafka.structs import OffsetAndMetadata

from pipeline import kafka as options
from pipeline.outgoing import Outgoing
from pipeline.refusal import failure
from pipeline.replay_headers import tried_before
from pipeline.succession import Succession
from schemas.errors import ConfigurationError, FatalError, MessageError, TransientError
from schemas.work import Source, unpack
from workers.attempts import Marker, load_marker
from workers.score import WorkRecord
from workers.under_way import Chunk, Offsets, UnderWay, partition_of

_LOG = logging.getLogger(__name__)
_POLL_MS: Final = 200
UNDER_WAY_MAX: Final = 2
"""Chunks whose results are not yet delivered; so many threads of the executor are of use."""
_POLL_RECORDS: Final = 32
"""Records fetched ahead, at most: what a rebalance makes another process do again."""
_TAKE_BACK_MS: Final = 2_000
"""How long a process that gives up may try to take its markers back."""
_LOOK_S: Final = 0.5
"""How soon a stopping process notices that its time is over while a model runs."""
_LOST: Final = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)
"""The partition belongs to somebody else now, who does the work again: no error."""


class OutOfTimeError(TransientError):
    """The process was told to stop, and its model did not come to an end in time."""


class Score(Protocol):
    """The scorer."""

    def __call__(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        """What the records lead to."""


class Recover(Protocol):
    """What goes on where a process died; see `workers.recovery`."""

    def __call__(self, loop: "Loop", partition: TopicPartition, offset: int, found: Marker) -> None:
        """Work on `partition` from `offset` until the marked records are done, and commit."""


class Loop(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """`run` until `stop`; raises TransientError where Kafka gave up, and whatever the scorer raises: nothing committed then.

    `assigned` are the partitions of the last assignment, also while a rejoin is under way; `commits` counts: both are for the
    watchdog. `in_hand` are the records that are being worked on: for Prometheus.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        score: Score,
        deliver: Callable[[Sequence[Outgoing]], None],
        *,
        recover: Recover,
        succession: Succession,
        chunk_tokens: int,
        executor: Executor,
        on_assigned: Callable[[], None],
    ) -> None:
        self.consumer = consumer
        self.score = score
        self.deliver = deliver
        self.stopping = False
        self.assigned: frozenset[TopicPartition] = frozenset()
        self.commits = 0
        self.in_hand: Sequence[Any] = ()
        self._recover = recover
        self._succession = succession
        self._chunk_tokens = chunk_tokens
        self._executor = executor
        self._on_assigned = on_assigned
        self._fetched: deque[Any] = deque()
        self._under_way = UnderWay(lambda chunk: self.deliver(self._result(chunk.outgoing)))
        self._unchecked: set[TopicPartition] = set()
        self._stop_by: float | None = None

    def stop(self, grace_s: float | None = None) -> None:
        """Finish what is under way, then return from `run`; callable from a signal handler.

        A model that runs for more than `grace_s` from now makes `run` raise OutOfTimeError, its work uncommitted.
        """
        self.stopping = True
        self._stop_by = None if grace_s is None else time.monotonic() + grace_s

    def run(self, topic: str) -> None:
        """Work on `topic` until stopped."""
        try:
            # First: kafka-python may assign a topic that it does not know yet to nobody, and never look again.
            self.consumer.partitions_for_topic(topic)
            self.consumer.subscribe([topic], listener=self)
            while not self.stopping:
                self._step()
            self._finish_all()
        except KafkaError as error:
            self._blame_nobody()
            raise _ours(error) from error
        except (TransientError, FatalError):  # Kafka is away, or refuses us, or most jobs fail
            self._blame_nobody()
            raise
        finally:
            self._under_way.clear()  # closing the consumer revokes its partitions, and there is nothing to finish then

    def _step(self) -> None:
        if not self._fetched:
            self._fetched.extend(self._fetch(0 if self._under_way else _POLL_MS))
        self._look_for_deaths()
        records = self._take()
        done = self._under_way.settle() if not records or len(self._under_way) == UNDER_WAY_MAX else {}
        self.in_hand = [*self._under_way.records(), *records]
        if records:
            decoded = [decode_record(record) for record in records]
            self.commit({**done, **self._under_way.marks(records)})  # before the model sees them
            self._under_way.add(Chunk(records, self._executor.submit(self.score, decoded)))
        elif done:
            self.commit(done)

    def _fetch(self, timeout_ms: int) -> list[Any]:
        fetched = options.poll(self.consumer, timeout_ms=timeout_ms, max_records=_POLL_RECORDS)
        return [record for records in fetched.values() for record in records]

    def _take(self) -> list[Any]:
        taken: list[Any] = []
        size = 0
        while self._fetched and (not taken or size + len(self._fetched[0].value or b"") // 2 <= self._chunk_tokens):
            taken.append(self._fetched.popleft())
            self.follow(taken[-1])
            size += len(taken[-1].value or b"") // 2  # two bytes a token id, and descriptions count as their like
        return taken

    def follow(self, record: Any) -> None:  # noqa: ANN401 (kafka-python is untyped)
        """`record` is taken up; raises TransientError where others before it never came."""
        self._succession.follow(partition_of(record), record.offset)

    def put_back(self, records: Collection[Any]) -> None:
        """Have `records` come again later: the consumer goes back to the first of each partition that is still ours."""
        for record in reversed(list(records)):
            with suppress(KeyError, ValueError):  # it is not ours any more
                self.consumer.seek(partition_of(record), record.offset)

    def _finish_all(self) -> None:
        if done := self._under_way.settle_all():
            self.commit(done)
        self.in_hand = ()

    def compute(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        """Score `records` in the executor, and wait for it."""
        return self._result(self._executor.submit(self.score, records))

    def _result(self, outgoing: Future[list[Outgoing]]) -> list[Outgoing]:
        while True:
            try:
                return outgoing.result(_LOOK_S)
            except TimeoutError as error:
                if outgoing.done():  # the scorer's own
                    raise
                if self._stop_by is not None and time.monotonic() >= self._stop_by:
                    raise OutOfTimeError("told to stop, but the model did not end in time: the rest stays uncommitted") from error

    def commit(self, offsets: Offsets) -> None:
        """Commit; quietly given up where a partition is no longer ours."""
        try:
            self.consumer.commit(_for_kafka(offsets))
            self.commits += 1
        except _LOST as error:
            _LOG.info("not committed, the group has changed: %s", type(error).__name__)

    def take_back(self, offsets: Offsets) -> None:
        """Commit `offsets` in place of markers, if that can be done: the process gives up, and not because of its records."""
        with suppress(KafkaError):
            self.consumer.commit(_for_kafka(offsets), timeout_ms=_TAKE_BACK_MS)

    def _blame_nobody(self) -> None:
        if begins := self._under_way.blameless():
            self.take_back(begins)

    def is_unchecked(self, partition: TopicPartition) -> bool:
        """Whether `partition` was assigned and nobody has looked yet whether somebody died over it."""
        return partition in self._unchecked

    def _look_for_deaths(self) -> None:
        while unchecked := sorted(self._unchecked):
            self._finish_all()  # first: the marker may be our own
            partition = unchecked[0]
            self._unchecked.discard(partition)  # during recovery it may be assigned anew
            committed = self.consumer.committed(partition, metadata=True)
            self._succession.begin(partition, committed.offset if committed else 0)
            marker = load_marker(committed.metadata, committed.offset) if committed else None
            if committed and marker:
                self.put_back(self._fetched)
                self._fetched.clear()
                self._recover(self, partition, committed.offset, marker)
                self.in_hand = ()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """New partitions: before they are worked on, see whether somebody died over them."""
        options.forget_late_answers(self.consumer)
        self._unchecked.update(assigned)
        self.assigned = frozenset(assigned)  # all of them: kafka-python's default assignors revoke everything first
        _LOG.info("assigned %d partitions", len(assigned))
        if not self.stopping:
            self._on_assigned()

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Finish and commit what is under way while the partitions are still ours; heartbeats wait meanwhile."""
        self._unchecked.difference_update(revoked)
        offsets = self._under_way.settle_all()
        if not offsets:
            return
        try:
            await self.consumer.commit_async(_for_kafka(offsets))
            self.commits += 1
        except KafkaError as error:
            _LOG.info("not committed, the work will be done again: %r", error)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        """Somebody else has them by now. What is under way stays so: its results may be repeated, but none is ever skipped."""
        self._unchecked.difference_update(lost)


def decode_record(record: Any, attempt: int = 1) -> WorkRecord:  # noqa: ANN401 (kafka-python is untyped)
    """A consumer record with its bytes taken apart, or the reason why they cannot be."""
    source = Source(topic=record.topic, partition=record.partition, offset=record.offset)
    value = record.value or b""
    try:
        return WorkRecord(source, value, unpack(value), attempt)
    except MessageError as error:
        return WorkRecord(source, value, error, attempt, tried_before(record.headers))


def _ours(error: KafkaError) -> TransientError | FatalError:
    """What a client raised, as an error of ours; what our own listener raised comes in kafka-python's wrapping."""
    if isinstance(error, FencedInstanceIdError):
        return ConfigurationError("another process has joined under the same LLMOS_INSTANCE_ID: each needs a name of its own")
    cause = error.__cause__
    return type(cause)(str(cause)) if isinstance(cause, TransientError | FatalError) else failure("Kafka", error)


def _for_kafka(offsets: Offsets) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset, metadata, -1) for partition, (offset, metadata) in offsets.items()}
