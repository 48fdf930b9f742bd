"""Kafka in memory, for one thread: topics, consumer groups, commits with metadata, and clients that look like kafka-python's.

It has the habits of kafka-python 3.0.12 that cost something to find out: the rebalance listener may not call anything that
blocks, what it raises comes out of `poll` as a KafkaError, and a partition that stays with a consumer over a rebalance keeps
its position.
"""

import inspect
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    CommitFailedError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from kafka.future import Future
from kafka.structs import OffsetAndMetadata, OffsetAndTimestamp

PATCHED = {
    "KafkaConsumer": ("workers.app", "pipeline.read"),
    "KafkaProducer": ("workers.delivery", "pipeline.publish", "pipeline.dead_letter_box"),
    "KafkaAdminClient": ("workers.delivery", "pipeline.topics"),
}


class FakeRecord(NamedTuple):
    """What a consumer returns, and, as metadata of a delivery, where a record lies."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int


class FakeFuture(Future):
    """kafka-python's future of a record; `get` does not wait, since nobody else could resolve it."""

    def get(self, timeout: float | None = None) -> Any:
        if not self.is_done:
            raise KafkaTimeoutError(f"not in {timeout} s")
        if self.exception:
            raise self.exception
        return self.value


class FakeKafka:
    """One broker. `step` is called around everything that it does, so that a test can count, interfere or raise."""

    def __init__(self, **topics: int) -> None:
        self.topics = {name: [[] for _ in range(partitions)] for name, partitions in topics.items()}
        self.asked: dict[str, Mapping[str, Any]] = {}
        self.committed: defaultdict[str | None, dict[TopicPartition, OffsetAndMetadata]] = defaultdict(dict)
        self.groups: defaultdict[str, Group] = defaultdict(Group)
        self.refused: dict[str, KafkaError] = {}
        self.commit_errors: list[KafkaError | None] = []
        self.holding = False
        self.held: list[Callable[[], object]] = []
        self.now_ms = 1_000
        self.step: Callable[[str], object] = lambda _: None
        self.idle: Callable[[], object] = lambda: None

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> FakeRecord:
        """Put a record at the end of a partition; without one, the key decides."""
        partitions = self.topics[topic]
        number = zlib.crc32(key or b"") % len(partitions) if partition is None else partition
        record = FakeRecord(topic, number, len(partitions[number]), key, value, tuple(headers), self.now_ms)
        partitions[number].append(record)
        return record

    def records(self, topic: str) -> list[FakeRecord]:
        """All of a topic."""
        return [record for partition in self.topics[topic] for record in partition]

    def values(self, topic: str) -> list[bytes]:
        """The values of all of a topic."""
        return [record.value or b"" for record in self.records(topic)]

    def first_at(self, place: tuple[str, int], offset: int) -> int:
        """The offset of a partition's first record from `offset` on."""
        return next(record.offset for record in self.topics[place[0]][place[1]] if record.offset >= offset)

    def lag(self, group: str, topic: str) -> int:
        """Records that the group has not committed."""
        committed = self.committed[group]
        return sum(
            len(records) - committed.get(TopicPartition(topic, number), OffsetAndMetadata(0, "", -1)).offset
            for number, records in enumerate(self.topics[topic])
        )

    def release(self, count: int | None = None) -> None:
        """Confirm, or refuse, what producers sent while `holding`."""
        for confirm in self.held[:count]:
            confirm()
        del self.held[:count]

    def consumer(self, **options: Any) -> "FakeConsumer":
        return FakeConsumer(self, options)

    def producer(self, **options: Any) -> "FakeProducer":
        return FakeProducer(self, options)

    def admin(self, **options: Any) -> "FakeAdmin":
        return FakeAdmin(self, options)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Have the code under test find these clients instead of kafka-python's."""
        clients = {"KafkaConsumer": self.consumer, "KafkaProducer": self.producer, "KafkaAdminClient": self.admin}
        for name, modules in PATCHED.items():
            for module in modules:
                patch.setattr(f"{module}.{name}", clients[name])


@dataclass
class Group:
    """A consumer group: a new generation begins when members come or go, and is there when all have joined it."""

    members: list["FakeConsumer"] = field(default_factory=list)
    generation: int = 0
    joined: set[int] = field(default_factory=set)

    def change(self) -> None:
        """Have all join anew."""
        self.generation += 1
        self.joined.clear()

    def leave(self, member: "FakeConsumer") -> None:
        """Without a word, as a killed process does."""
        if member in self.members:
            self.members.remove(member)
            self.change()

    def share(self, member: "FakeConsumer", partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The member's partitions once all have joined."""
        return list(partitions[self.members.index(member) :: len(self.members)])


class FakeConsumer:
    """A consumer by itself, or a member of a group."""

    def __init__(self, kafka: FakeKafka, options: Mapping[str, Any]) -> None:
        self.kafka = kafka
        self.options = options
        self.closed = False
        self._group = kafka.groups[options["group_id"]] if options.get("group_id") else None
        self._positions: dict[TopicPartition, int | None] = {}
        self._generation = 0
        self._evicted = self._listening = False
        self._cluster = SimpleNamespace(unauthorized_topics=frozenset())
        self._coordinator = SimpleNamespace(rejoining=False, _offset_fetch_futures={})

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self._topics, self._listener = topics, listener
        self._join()

    def evict(self) -> None:
        """The group throws this member out, as it does with one that has been silent; it joins anew when it polls."""
        assert self._group is not None, "only a member can be thrown out"
        self._group.leave(self)
        self._evicted = True

    def kill(self) -> None:
        """The process is gone, and nobody was told."""
        if self._group:
            self._group.leave(self)

    def close(self, **_: object) -> None:
        if self._group and not self.closed and self._positions:
            self._tell("on_partitions_revoked", set(self._positions))
        self.closed = True
        self.kill()

    def poll(self, timeout_ms: int = 0, max_records: int = 500) -> dict[TopicPartition, list[FakeRecord]]:
        self._blocking("poll")
        if self._group and not self._rejoin():
            return {}
        found: dict[TopicPartition, list[FakeRecord]] = {}
        for place in self._positions:
            room = max_records - sum(map(len, found.values()))
            records = self._log(place)[self._position(place) :][:room]
            if records:
                found[place], self._positions[place] = records, records[-1].offset + 1
        if not found and timeout_ms:
            self.kafka.idle()
        return found

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], **_: object) -> None:
        self._blocking("commit")
        self._commit(offsets)

    def commit_async(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> Future:
        self.kafka.step("commit")
        future = Future()
        try:
            self._commit(offsets)
        except KafkaError as error:
            return future.failure(error)
        return future.success(None)

    def committed(self, partition: TopicPartition, *, metadata: bool = False) -> OffsetAndMetadata | int | None:
        self._blocking("committed")
        found = self._offsets.get(partition)
        return found if metadata or found is None else found.offset

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        self._positions = dict.fromkeys(partitions)

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(len(self.kafka.topics.get(topic, ()))))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        if partition not in self._positions:
            raise KeyError(partition)  # as kafka-python has it
        self._positions[partition] = offset

    def seek_to_beginning(self) -> None:
        self._positions = dict.fromkeys(self._positions, 0)

    def seek_to_end(self) -> None:
        self._positions = {place: len(self._log(place)) for place in self._positions}

    def position(self, partition: TopicPartition) -> int:
        self._blocking("position")
        return self._position(partition)

    def _position(self, partition: TopicPartition) -> int:
        position = self._positions[partition]
        if position is None:
            committed = self._offsets.get(partition)
            position = self._positions[partition] = committed.offset if committed else 0
        return position

    def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self._blocking("end_offsets")
        return {place: len(self._log(place)) for place in partitions}

    def highwater(self, partition: TopicPartition) -> int:
        return len(self._log(partition))

    def offsets_for_times(self, times: Mapping[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        self._blocking("offsets_for_times")
        found: dict[TopicPartition, OffsetAndTimestamp | None] = {}
        for place, since in times.items():
            later = [record for record in self._log(place) if record.timestamp >= since]
            found[place] = OffsetAndTimestamp(later[0].offset, later[0].timestamp, -1) if later else None
        return found

    @property
    def _offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        return self.kafka.committed[self.options.get("group_id")]

    def _log(self, place: TopicPartition) -> list[FakeRecord]:
        return self.kafka.topics[place.topic][place.partition]

    def _blocking(self, name: str) -> None:
        if self._listening:
            raise RuntimeError(f"{name}: Cannot block on net.run() from the IO thread itself.")
        assert not self.closed, "a closed consumer does nothing more"
        self.kafka.step(name)

    def _commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        error = self.kafka.commit_errors.pop(0) if self.kafka.commit_errors else None
        if error:
            raise error
        if self._group and self not in self._group.members:
            raise CommitFailedError
        if self._group and id(self) in self._group.joined and self._generation != self._group.generation:
            raise RebalanceInProgressError
        self._offsets.update(offsets)
        self.kafka.step("committed")

    def _join(self) -> None:
        assert self._group is not None, "subscribing takes a group"
        self._group.members.append(self)
        self._group.change()

    def _rejoin(self) -> bool:
        group = self._group
        assert group is not None, "only members join"
        if self._evicted:
            self._tell("on_partitions_lost", set(self._positions))
            self._positions.clear()
            self._evicted = False
            self._join()
        if self._generation == group.generation:
            return True
        if id(self) not in group.joined:
            if self._positions:  # what was lost is not revoked as well
                self._tell("on_partitions_revoked", set(self._positions))
            if self._evicted:
                return False
            group.joined.add(id(self))
        if len(group.joined) < len(group.members):
            return False
        everything = [TopicPartition(topic, number) for topic in self._topics for number in range(len(self.kafka.topics[topic]))]
        ours = group.share(self, everything)
        self._positions = {place: self._positions.get(place) for place in ours}
        self._generation = group.generation
        self._tell("on_partitions_assigned", set(ours))
        return True

    def _tell(self, method: str, partitions: Collection[TopicPartition]) -> None:
        self._listening = True
        try:
            told = getattr(self._listener, method)(partitions)
            if inspect.iscoroutine(told):
                _drive(told)
        except Exception as error:
            raise KafkaError("User rebalance callback throws an error") from error
        finally:
            self._listening = False


def _drive(coroutine: Any) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the listener waits for something that nobody resolves")


class FakeProducer:
    """Confirms at once, or on `FakeKafka.release` while the broker is holding."""

    _transaction_manager = None
    """It has no producer id to renew; see `pipeline.renewal`."""

    def __init__(self, kafka: FakeKafka, options: Mapping[str, Any]) -> None:
        self.kafka = kafka
        self.options = options
        self.closed = False

    def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, headers: Iterable[tuple[str, bytes]] = ()
    ) -> FakeFuture:
        self.kafka.step("send")
        future = FakeFuture()
        self.kafka.held.append(lambda: self._confirm(future, topic, value, key, headers))
        if not self.kafka.holding:
            self.kafka.release()
        return future

    def _confirm(self, future: FakeFuture, topic: str, value: bytes | None, key: bytes | None, headers: Any) -> None:
        if topic in self.kafka.refused or topic not in self.kafka.topics:
            future.failure(self.kafka.refused.get(topic) or UnknownTopicOrPartitionError())
        else:
            future.success(self.kafka.append(topic, value, key, headers))

    def flush(self, timeout: float | None = None) -> None:
        """Release what is held; with a timeout, wait for it in vain."""
        if timeout is not None and self.kafka.holding:
            raise KafkaTimeoutError("still held")
        self.kafka.release()

    def close(self, **_: object) -> None:
        self.closed = True


class FakeAdmin:
    """Lists, makes and describes topics."""

    def __init__(self, kafka: FakeKafka, options: Mapping[str, Any]) -> None:
        self.kafka = kafka
        self.options = options
        self.closed = False

    def list_topics(self) -> list[str]:
        self.kafka.step("list_topics")
        return list(self.kafka.topics)

    def create_topics(self, topics: Mapping[str, Mapping[str, Any]]) -> None:
        self.kafka.step("create_topics")
        for name, asked in topics.items():
            if name in self.kafka.topics:
                raise TopicAlreadyExistsError
            if name in self.kafka.refused:
                raise self.kafka.refused[name]
            self.kafka.asked[name] = asked
            self.kafka.topics[name] = [[] for _ in range(asked["num_partitions"])]

    def describe_topics(self, names: Iterable[str]) -> list[dict[str, Any]]:
        return [{"name": name, "partitions": [{"replica_nodes": [1]} for _ in self.kafka.topics[name]]} for name in names]

    def list_partition_offsets(self, asked: Mapping[TopicPartition, OffsetSpec]) -> dict[TopicPartition, OffsetAndTimestamp]:
        self.kafka.step("list_partition_offsets")
        ends = {place: len(self.kafka.topics[place.topic][place.partition]) for place in asked}
        return {
            place: OffsetAndTimestamp(0 if asked[place] == OffsetSpec.EARLIEST else end, -1, -1) for place, end in ends.items()
        }

    def list_group_offsets(self, asked: Mapping[str, Any]) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
        self.kafka.step("list_group_offsets")
        return {group: dict(self.kafka.committed[group]) for group in asked}

    def close(self) -> None:
        self.closed = True
