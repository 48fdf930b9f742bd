"""Worker loops over an in-memory Kafka, one process after the other, with deaths and trouble wherever a test wants them."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from kafka import TopicPartition
from kafka.consumer.subscription_state import ConsumerRebalanceListener
from kafka.errors import RebalanceInProgressError
from kafka.structs import OffsetAndMetadata

from pipeline.outgoing import Outgoing
from pipeline.succession import Succession
from schemas.errors import MessageError, TransientError
from schemas.jobs import TextJob
from schemas.work import Source, WorkBatch, WorkDescription, WorkItem, pack
from tests.support.fake_kafka import FakeConsumer, FakeKafka
from workers.attempts import load_marker
from workers.loop import Loop
from workers.recovery import Recovery
from workers.score import WorkRecord

TOPIC, GROUP = "work", "workers"
ATTEMPTS: Final = 3
PROCESSES_MAX: Final = 80
"""More than any combination of deaths in these tests takes: who needs more is going round in circles."""


class Killed(BaseException):
    """The process is gone, at once: no code may catch it."""


class Immediately(Executor):
    """Computes while the caller waits."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **options))
        except Exception as error:  # noqa: BLE001 (as executors do; what kills a process passes)
            future.set_exception(error)
        return future


class Late(Executor):
    """Computes only when somebody asks for the result: the latest that a thread could."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        return _LateFuture(lambda: function(*args, **options))


class _LateFuture(Future[Any]):
    def __init__(self, compute: Callable[[], Any]) -> None:
        super().__init__()
        self._compute = compute

    def result(self, timeout: float | None = None) -> Any:
        if not self.done():
            try:
                self.set_result(self._compute())
            except Exception as error:  # noqa: BLE001
                self.set_exception(error)
        return super().result(timeout)


class Never(Executor):
    """Computes without end; `begun` is called when it begins."""

    def __init__(self, begun: Callable[[], None]) -> None:
        self._begun = begun

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        self._begun()
        return Future()


def work(*ids: str) -> bytes:
    """A work record of jobs with these ids."""
    items = tuple(
        WorkItem(
            job=TextJob(job_id=name, text=name),
            language="en",
            tokens_total=3,
            source=Source(topic="jobs", partition=0, offset=0),
            accepted_ms=0,
            received_ms=0,
        )
        for name in ids
    )
    return pack("0" * 64, WorkDescription(packed_ms=0, items=items), [[np.arange(5, dtype=np.uint16)] for _ in ids])


def ids_of(records: Iterable[WorkRecord]) -> list[str]:
    """The jobs in what the scorer was given."""
    batches = [record.batch for record in records if isinstance(record.batch, WorkBatch)]
    return [item.job.job_id for batch in batches for item in batch.description.items]


class Undertaker:
    """Stands in for the recorder."""

    def bury(self, item: WorkItem, error: MessageError, attempts: int) -> Iterator[Outgoing]:
        yield Outgoing("dead", item.job.job_id.encode(), f"{error.code}:{attempts}".encode())


@dataclass
class World:
    """Partitions of records of job ids, and the processes that work them off."""

    partitions: Sequence[Sequence[Sequence[str]]]
    poison: Collection[str] = ()
    chunk_tokens: int = 1_000
    executor: Executor = field(default_factory=Immediately)
    attempts: int = ATTEMPTS
    undelivered: int = 0

    def __post_init__(self) -> None:
        self.kafka = FakeKafka(work=len(self.partitions), results=1, dead=1)
        for number, records in enumerate(self.partitions):
            for ids in records:
                self.kafka.append(TOPIC, work(*ids), partition=number)
        self.died_alone: Counter[str] = Counter()
        self.scored: list[list[str]] = []
        self.assigned = 0
        self.consumer: FakeConsumer

    @property
    def jobs(self) -> set[str]:
        return {name for records in self.partitions for ids in records for name in ids}

    @property
    def delivered(self) -> list[str]:
        return [str(record.key, "utf-8") for record in self.kafka.records("results")]

    @property
    def buried(self) -> dict[str, str]:
        """Code and attempts by job."""
        return {str(record.key, "utf-8"): str(record.value, "utf-8") for record in self.kafka.records("dead")}

    @property
    def lag(self) -> int:
        return self.kafka.lag(GROUP, TOPIC)

    def committed(self, partition: int = 0) -> OffsetAndMetadata | None:
        return self.kafka.committed[GROUP].get(TopicPartition(TOPIC, partition))

    def mark(self, metadata: str, offset: int = 0, partition: int = 0) -> None:
        """As if somebody had died over the records from `offset` on."""
        self.kafka.committed[GROUP][TopicPartition(TOPIC, partition)] = OffsetAndMetadata(offset, metadata, -1)

    def loop(self) -> Loop:
        """A fresh process's loop; it stops when there is nothing more to read."""
        self.consumer = self.kafka.consumer(group_id=GROUP)
        loop = Loop(
            self.consumer,
            self.score,
            self.deliver,
            recover=Recovery(Undertaker(), self.attempts),  # type: ignore[arg-type]  # it only buries
            succession=Succession(self.kafka.first_at),
            chunk_tokens=self.chunk_tokens,
            executor=self.executor,
            on_assigned=self._count,
        )
        self.kafka.idle = loop.stop
        return loop

    def run(self) -> bool:
        """One process, from its start to its end; whether it ended in order."""
        loop = self.loop()
        try:
            loop.run(TOPIC)
        except (Killed, TransientError):
            self.consumer.kill()
            return False
        self.consumer.close(autocommit=False)
        return True

    def run_until_done(self) -> int:
        """Processes one after the other until one ends in order and nothing is left; returns how many it took."""
        for count in range(1, PROCESSES_MAX):
            if self.run() and self.lag == 0:
                return count
        raise AssertionError(f"still {self.lag} records to do after {PROCESSES_MAX} processes")

    def score(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        ids = ids_of(records)
        self.scored.append(ids)
        self.kafka.step("score")
        for name in set(ids) & set(self.poison):
            markers = [load_marker(found.metadata, found.offset) for found in self.kafka.committed[GROUP].values()]
            if len(ids) == 1 and any(marker and marker.level == "job" for marker in markers):
                self.died_alone[name] += 1
            raise Killed
        damaged = [
            Outgoing("dead", b"", str(record.batch.code).encode()) for record in records if isinstance(record.batch, MessageError)
        ]
        return [Outgoing("results", name.encode(), b"") for name in ids] + damaged

    def deliver(self, outgoing: Sequence[Outgoing]) -> None:
        if self.undelivered:
            self.undelivered -= 1
            raise TransientError("records were not confirmed")
        producer = self.kafka.producer()
        for out in outgoing:
            producer.send(out.topic, out.value, key=out.key).get()

    def _count(self) -> None:
        self.assigned += 1


class Visitor:
    """Somebody else in the group, who takes partitions and does nothing with them."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self._consumer = kafka.consumer(group_id=GROUP)
        self._consumer.subscribe([TOPIC], listener=Idler())
        self.polls = 0

    def poll(self) -> None:
        """Take part in what the group does; no step of the world."""
        if self._consumer.closed:
            return
        step, self._kafka.step = self._kafka.step, lambda _: None
        try:
            self._consumer.poll()
        finally:
            self._kafka.step = step
        self.polls += 1

    def leave(self) -> None:
        """Be gone."""
        self._consumer.close()


class Idler(ConsumerRebalanceListener):  # type: ignore[misc]
    """Is told, and does nothing about it."""

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Does nothing."""

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Does nothing."""


class Trouble:
    """Does what stands at the n-th step of the world; a step is anything that Kafka or the scorer is asked."""

    VISIT_POLLS: Final = 5

    def __init__(self, world: World, actions: Mapping[int, str]) -> None:
        self._world = world
        self._actions = actions
        self._count = 0
        self._visitor: Visitor | None = None
        world.kafka.step = self._step

    def _step(self, name: str) -> None:
        self._count += 1
        getattr(self, f"_{self._actions.get(self._count, 'nothing')}")()
        if self._visitor and name == "poll":
            self._visitor.poll()
            if self._visitor.polls >= self.VISIT_POLLS:
                self._leave()

    def _nothing(self) -> None:
        """Most of the time."""

    def _kill(self) -> None:
        """An operator's kill -9."""
        self._leave()
        raise Killed

    def _bounce(self) -> None:
        """A rebalance in which nothing moves."""
        self._world.kafka.groups[GROUP].change()

    def _evict(self) -> None:
        """The group has not heard of the process for too long."""
        if self._world.consumer in self._world.kafka.groups[GROUP].members:
            self._world.consumer.evict()

    def _lose_a_commit(self) -> None:
        self._world.kafka.commit_errors.append(RebalanceInProgressError())

    def _fail_a_delivery(self) -> None:
        self._world.undelivered = 1

    def _visit(self) -> None:
        self._visitor = self._visitor or Visitor(self._world.kafka)

    def _leave(self) -> None:
        if self._visitor:
            self._visitor.leave()
            self._visitor = None


def damaged(name: str = "") -> bytes:
    """A record that cannot be taken apart."""
    value = bytearray(work(name or "damaged"))
    value[-1] ^= 1
    return bytes(value)


ALL_TROUBLE: Final = ("kill", "bounce", "evict", "lose_a_commit", "fail_a_delivery", "visit")
