"""The loop: nothing is committed before it is delivered, and whatever the group does, no record is skipped."""

import logging
from collections.abc import Sequence
from concurrent.futures import Executor

import pytest
from kafka import TopicPartition
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    IllegalGenerationError,
    KafkaError,
    KafkaTimeoutError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from pipeline.outgoing import Outgoing
from schemas.errors import ConfigurationError, TransientError
from schemas.work import WorkBatch
from tests.support.fake_kafka import FakeKafka
from tests.support.loops import GROUP, TOPIC, Immediately, Late, Never, Visitor, World, damaged, work
from workers import loop as loop_module
from workers.attempts import Marker, load_marker
from workers.loop import OutOfTimeError, decode_record
from workers.score import WorkRecord

EXECUTORS = pytest.mark.parametrize("executor", [Immediately(), Late()], ids=["early", "late"])


def records(*ids: str) -> list[list[str]]:
    """One partition of records of one job each."""
    return [[name] for name in ids]


def names(count: int) -> list[str]:
    return [f"job-{number:03}" for number in range(count)]


@EXECUTORS
def test_everything_is_worked_off_once_in_order_and_committed(executor: Executor) -> None:
    world = World([records(*names(50))], executor=executor)
    assert world.run()
    assert world.delivered == names(50)
    assert (world.lag, world.committed().metadata) == (0, "")


@EXECUTORS
def test_nothing_is_committed_before_it_is_delivered(executor: Executor) -> None:
    world = World([records(*names(40)), records(*(f"other-{name}" for name in names(9)))], executor=executor, chunk_tokens=900)
    commits: list[str] = []

    def look(name: str) -> None:
        if name == "committed":
            commits.append(name)
            for partition, log in enumerate(world.kafka.topics[TOPIC]):
                done = world.committed(partition).offset if world.committed(partition) else 0
                due = {item for record in log[:done] for item in jobs_of(record.value or b"")}
                assert due <= set(world.delivered)

    world.kafka.step = look
    assert world.run()
    assert len(commits) > 5


def jobs_of(value: bytes) -> list[str]:
    batch = decode_record(FakeKafka(work=1).append(TOPIC, value, partition=0)).batch
    assert isinstance(batch, WorkBatch)
    return [item.job.job_id for item in batch.description.items]


@EXECUTORS
def test_a_delivery_that_fails_commits_nothing_and_leaves_no_mark(executor: Executor) -> None:
    world = World([records("a", "b")], executor=executor)
    world.undelivered = 1
    with pytest.raises(TransientError, match="not confirmed"):
        world.loop().run(TOPIC)
    world.consumer.close()
    assert (world.committed().offset, world.committed().metadata) == (0, "")
    assert world.delivered == []


def test_a_mark_that_cannot_be_taken_back_hides_no_error() -> None:
    world = World([records("a")])
    world.undelivered = 1
    world.kafka.commit_errors = [None, KafkaTimeoutError()]
    with pytest.raises(TransientError, match="not confirmed"):
        world.loop().run(TOPIC)
    assert world.committed().metadata == Marker(1).dump()


def test_what_the_scorer_raises_ends_the_loop_and_leaves_its_mark() -> None:
    world = World([records("a", "b")], chunk_tokens=10_000)
    loop = world.loop()

    def fail(_: Sequence[WorkRecord]) -> list[Outgoing]:
        raise ZeroDivisionError

    loop.score = fail
    with pytest.raises(ZeroDivisionError):
        loop.run(TOPIC)
    world.consumer.close()
    assert (world.committed().offset, world.committed().metadata) == (0, Marker(2).dump())


def test_a_lost_device_leaves_its_mark_since_the_text_may_have_done_it() -> None:
    world = World([records("a")])
    loop = world.loop()

    def fail(_: Sequence[WorkRecord]) -> list[Outgoing]:
        raise TransientError("the device is lost")

    loop.score = fail
    with pytest.raises(TransientError):
        loop.run(TOPIC)
    assert world.committed().metadata == Marker(1).dump()


@EXECUTORS
def test_before_a_chunk_is_computed_its_end_stands_beside_where_all_that_is_under_way_begins(executor: Executor) -> None:
    world = World([records(*names(6))], executor=executor, chunk_tokens=1)
    seen: list[tuple[int, Marker | None]] = []

    def look(name: str) -> None:
        if name == "score":
            offset, metadata, _ = world.committed()
            seen.append((offset, load_marker(metadata, offset)))

    world.kafka.step = look
    assert world.run()
    for scored, (offset, marker) in enumerate(seen):
        assert marker
        assert offset <= scored < marker.until <= offset + loop_module.UNDER_WAY_MAX
        assert offset == len(world.delivered[:offset])


def test_a_chunk_over_several_partitions_marks_each_where_it_begins() -> None:
    world = World([records("a", "b"), records("c")], chunk_tokens=10_000)
    world.mark("", offset=1)
    marks: list[dict[int, tuple[int, str]]] = []
    world.kafka.step = lambda name: (
        marks.append({number: world.committed(number)[:2] for number in (0, 1)}) if name == "score" else None
    )
    assert world.run()
    assert marks == [{0: (1, Marker(2).dump()), 1: (0, Marker(1).dump())}]


def test_a_chunk_holds_about_so_many_tokens_and_at_least_one_record() -> None:
    size = len(work("job-000")) // 2
    world = World([[["job-000"], ["job-001"], ["job-002"], names(20), ["job-003"]]], chunk_tokens=2 * size)
    assert world.run()
    assert [len(ids) for ids in world.scored] == [2, 1, 20, 1]


@EXECUTORS
@pytest.mark.parametrize("chunk_tokens", [200, 1_000_000])
def test_it_polls_with_empty_hands_only(executor: Executor, chunk_tokens: int) -> None:
    """A rebalance in a poll lets earlier records come again: behind later ones, their offsets would be committed undone."""
    world = World([records(*names(60))], executor=executor, chunk_tokens=chunk_tokens)
    loop = world.loop()
    held: list[int] = []
    world.kafka.step = lambda name: held.append(len(loop._fetched)) if name == "poll" else None
    loop.run(TOPIC)
    assert len(held) > 1
    assert set(held) == {0}


def test_no_more_than_so_many_records_are_fetched_ahead() -> None:
    world = World([records(*names(200)), records(*(f"other-{name}" for name in names(200)))], chunk_tokens=1)
    ahead: list[int] = []

    def look(name: str) -> None:
        if name == "score":
            taken = sum(position or 0 for position in world.consumer._positions.values())
            ahead.append(taken - len(world.delivered))

    world.kafka.step = look
    assert world.run()
    assert max(ahead) <= loop_module._POLL_RECORDS + loop_module.UNDER_WAY_MAX, "those fetched, and those under way"


def test_stop_finishes_what_is_under_way_and_leaves_the_rest() -> None:
    world = World([records(*names(10))], chunk_tokens=1)
    loop = world.loop()
    world.kafka.step = lambda name: loop.stop() if name == "score" and len(world.scored) == 3 else None
    loop.run(TOPIC)
    assert world.delivered == names(3)
    assert (world.committed().offset, world.committed().metadata) == (3, "")


def test_stop_before_the_start_does_nothing() -> None:
    world = World([records("a")])
    loop = world.loop()
    loop.stop()
    loop.run(TOPIC)
    assert world.delivered == []


@EXECUTORS
def test_a_revocation_finishes_and_commits_what_is_under_way(executor: Executor) -> None:
    """The listener runs on kafka-python's own thread, where a blocking commit raises; it once killed the worker."""
    world = World([records(*names(6)), records(*(f"other-{name}" for name in names(6)))], executor=executor, chunk_tokens=1)
    loop = world.loop()
    other: list[Visitor] = []

    def join(name: str) -> None:
        if name == "score" and len(world.scored) == 3:
            other.append(Visitor(world.kafka))
        if name == "poll" and other:
            other[0].poll()

    world.kafka.step = join
    loop.run(TOPIC)
    assert len(world.delivered) == len(set(world.delivered)), "nothing was done twice"
    (theirs,) = {0, 1} - {place.partition for place in world.consumer.assignment()}
    assert world.committed(1 - theirs).offset == 6
    done_there = [name for name in world.delivered if name.startswith("other-") == bool(theirs)]
    assert (world.committed(theirs).offset if world.committed(theirs) else 0) == len(done_there)


def test_a_revocation_whose_delivery_fails_ends_the_worker_uncommitted() -> None:
    world = World([records("a", "b", "c")], executor=Late(), chunk_tokens=1)
    loop = world.loop()

    def bounce(name: str) -> None:
        if name == "poll" and world.assigned == 1:
            world.kafka.groups[GROUP].change()
            world.undelivered = 1

    world.kafka.step = bounce
    with pytest.raises(TransientError):
        loop.run(TOPIC)
    world.consumer.close()
    assert world.delivered == ["a"]
    assert (world.committed().offset, world.committed().metadata) == (1, "")


@pytest.mark.parametrize("error", [CommitFailedError(), RebalanceInProgressError(), KafkaTimeoutError()])
def test_a_revocation_whose_commit_fails_costs_a_repeat(error: KafkaError) -> None:
    world = World([records("a", "b")], chunk_tokens=1_000)
    loop = world.loop()

    def bounce(name: str) -> None:
        if name == "score" and len(world.scored) == 1:
            world.kafka.groups[GROUP].change()
            world.kafka.commit_errors.append(error)

    world.kafka.step = bounce
    loop.run(TOPIC)
    assert world.delivered == ["a", "b", "a", "b"]
    assert world.lag == 0


@EXECUTORS
def test_what_is_under_way_when_partitions_are_lost_is_delivered_all_the_same(executor: Executor) -> None:
    """Somebody else may have done it, or may not have: to let it go would be to skip it where the partitions come back."""
    world = World([records("a", "b")], executor=executor, chunk_tokens=1)
    loop = world.loop()
    evicted: list[int] = []

    def lose(name: str) -> None:
        if name == "poll" and len(loop._under_way) == loop_module.UNDER_WAY_MAX and not evicted:
            evicted.append(world.committed().offset)
            world.consumer.evict()

    world.kafka.step = lose
    loop.run(TOPIC)
    assert evicted == [0]
    assert world.delivered == ["a", "b", "a", "b"], "fetched anew before that was committed"
    assert (world.lag, world.committed().metadata) == (0, "")


@pytest.mark.parametrize("error", [CommitFailedError, RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError])
def test_a_commit_that_fails_because_the_group_changed_is_no_trouble(
    error: type[KafkaError], caplog: pytest.LogCaptureFixture
) -> None:
    world = World([records("a", "b", "c")], chunk_tokens=1)
    world.kafka.commit_errors = [None, error()]
    with caplog.at_level(logging.WARNING):
        assert world.run()
    assert (set(world.delivered), world.lag) == ({"a", "b", "c"}, 0)
    assert not caplog.records


@pytest.mark.parametrize(
    ("error", "told", "sentence"),
    [
        (KafkaTimeoutError, TransientError, "Kafka"),
        (FencedInstanceIdError, ConfigurationError, "LLMOS_INSTANCE_ID"),  # waiting does not mend that
    ],
)
def test_any_other_failure_of_a_commit_ends_the_worker(error: type[KafkaError], told: type[Exception], sentence: str) -> None:
    world = World([records("a", "b", "c")], chunk_tokens=1)
    world.kafka.commit_errors = [None, error()]
    with pytest.raises(told, match=sentence):
        world.loop().run(TOPIC)
    assert world.committed().offset == 0


@pytest.mark.parametrize("marker", ["", Marker(1, "job", 0, 2).dump()])
def test_a_model_that_does_not_end_in_time_ends_the_worker_and_blames_nobody(marker: str) -> None:
    world = World([records("a")], executor=Never(lambda: loop.stop(grace_s=0)))
    world.mark(marker)
    loop = world.loop()
    with pytest.raises(OutOfTimeError):
        loop.run(TOPIC)
    assert (world.committed().offset, world.committed().metadata) == (0, marker)


def test_a_record_that_cannot_be_taken_apart_stops_nobody() -> None:
    world = World([records("a")])
    world.kafka.append(TOPIC, damaged(), partition=0)
    world.kafka.append(TOPIC, None, partition=0)
    world.kafka.append(TOPIC, work("b"), partition=0)
    assert world.run()
    assert world.delivered == ["a", "b"]
    assert world.kafka.values("dead") == [b"work_corrupt", b"work_corrupt"]


def test_it_says_that_it_is_ready_when_it_has_its_partitions_but_not_while_it_stops() -> None:
    world = World([records("a")])
    loop = world.loop()
    world.kafka.step = lambda name: loop.stop() if name == "poll" else None
    loop.run(TOPIC)
    world.kafka.step = lambda _: None
    world.consumer.close()
    assert world.assigned == 0
    assert world.run()
    assert world.assigned == 1


def test_a_partition_without_a_mark_is_not_taken_with_care() -> None:
    world = World([records("a", "b")], chunk_tokens=10_000)
    world.mark("written by another program")
    assert world.run()
    assert world.scored == [["a", "b"]]


def test_put_back_goes_to_the_first_record_of_each_partition_that_is_ours() -> None:
    world = World([records("a", "b", "c"), records("d")])
    consumer = world.kafka.consumer(group_id=GROUP)
    loop = world.loop()
    loop.consumer = consumer
    consumer.assign([TopicPartition(TOPIC, 0)])
    fetched = [*world.kafka.topics[TOPIC][0][1:], *world.kafka.topics[TOPIC][1]]
    loop.put_back(fetched)
    assert consumer.position(TopicPartition(TOPIC, 0)) == 1


def test_an_answer_about_offsets_that_came_too_late_is_forgotten_with_the_next_assignment() -> None:
    world = World([records("a")])
    loop = world.loop()
    world.consumer._coordinator._offset_fetch_futures["partitions"] = "an answer of before"
    loop.run(TOPIC)
    assert not world.consumer._coordinator._offset_fetch_futures
