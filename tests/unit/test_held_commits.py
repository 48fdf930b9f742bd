"""A commit that is held: it shares a request with the next marks, soon goes by itself, and ends with its assignment."""

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata

from tests.support.loops import GROUP, TOPIC, Late, Visitor, World, work
from workers.attempts import Marker
from workers.loop import Loop

FEW = 100_000
"""Tokens of a chunk of which a record or two are few."""


def standing(world: World, partition: int = 0) -> list[int]:
    """The offset that stands whenever there is a commit, or a question for it, from now on."""
    found: list[int] = []
    inner = world.kafka.step

    def look(name: str) -> None:
        inner(name)
        if name == "committed" and (committed := world.committed(partition)):
            found.append(committed.offset)

    world.kafka.step = look
    return found


def elsewhere(world: World, offset: int, partition: int = 0) -> None:
    """Somebody else has done the records before `offset`, which were not there before, and has committed that."""
    for _ in range(offset - len(world.kafka.topics[TOPIC][partition])):
        world.kafka.append(TOPIC, work("theirs"), partition=partition)
    world.kafka.committed[GROUP][TopicPartition(TOPIC, partition)] = OffsetAndMetadata(offset, "", -1)


def test_what_is_done_is_committed_with_the_next_marks() -> None:
    world = World([[["job-0"]]], chunk_tokens=FEW)
    loop = world.loop()
    world.kafka.step = lambda name: world.kafka.append(TOPIC, work("more")) if name == "score" and len(world.scored) < 3 else None
    loop.run(TOPIC)
    assert loop.commits == len(world.scored) + 1 == 3 + 1
    assert (world.lag, world.committed().metadata) == (0, "")


@pytest.mark.parametrize("chunk_tokens", [1, FEW])
def test_what_is_done_is_committed_after_one_poll_in_which_nothing_comes(chunk_tokens: int) -> None:
    world = World([[["a"]]], chunk_tokens=chunk_tokens)
    loop = world.loop()
    seen: list[tuple[int, str]] = []

    def idle() -> None:
        seen.append(world.committed()[:2])
        if len(seen) == 2:
            loop.stop()

    world.kafka.idle = idle
    loop.run(TOPIC)
    assert seen == [(0, Marker(1).dump()), (1, "")]


@pytest.mark.parametrize("error", [None, CommitFailedError()])
def test_what_is_done_is_committed_at_a_revocation_or_never(error: KafkaError | None) -> None:
    """The partition is somebody else's then, who goes on; later it comes back."""
    world = World([[["a"]], [["b"]]], chunk_tokens=FEW)
    world.coming = [(1, "c"), (0, "d")]
    loop = world.loop()
    visitors: list[Visitor] = []

    def visit(name: str) -> None:
        if name == "poll" and loop._under_way.has_done and not visitors:
            visitors.append(Visitor(world.kafka))
            world.kafka.commit_errors += [error] if error else []
        elif name == "poll" and visitors and visitors[0].polls < 3:
            visitors[0].poll()
            if visitors[0].polls == 3:
                (theirs,) = {0, 1} - {place.partition for place in world.consumer.assignment()}
                elsewhere(world, 5, theirs)
                visitors[0].leave()
                seen.append(standing(world, theirs))

    seen: list[list[int]] = []
    world.kafka.step = visit
    run_on(world, loop)
    assert len(seen) == 1
    assert min(seen[0], default=5) >= 5, "what was done before they had it is not said again"
    assert world.lag == 0


def run_on(world: World, loop: Loop) -> None:
    """Until nothing more comes, with some idle polls in which the group may change."""
    idle = list(range(8))
    end = world.kafka.idle
    world.kafka.idle = lambda: idle.pop() if idle else end()
    loop.run(TOPIC)


def test_what_is_done_is_forgotten_when_partitions_are_lost() -> None:
    world = World([[["a"]]], chunk_tokens=FEW)
    loop = world.loop()

    def lose(name: str) -> None:
        if name == "poll" and loop._under_way.has_done and not seen:
            world.consumer.evict()
            elsewhere(world, 3)
            seen.append(standing(world))

    seen: list[list[int]] = []
    world.kafka.step = lose
    run_on(world, loop)
    assert world.delivered == ["a"]
    assert len(seen) == 1
    assert set(seen[0]) == {3}, "nobody's commit is undone"


def test_for_what_was_lost_no_commit_is_even_tried() -> None:
    world = World([[["a"]]], chunk_tokens=FEW)
    loop = world.loop()
    visitors: list[Visitor] = []
    steps: list[str] = []

    def lose(name: str) -> None:
        if name == "poll" and loop._under_way.has_done and not visitors:
            visitors.append(Visitor(world.kafka))  # who has not joined yet: so the group is not there yet
            world.consumer.evict()
        elif visitors:
            steps.append(name)
            if len(steps) == 5:
                loop.stop()

    world.kafka.step = lose
    loop.run(TOPIC)
    assert steps == ["poll"] * 5


def test_what_is_done_while_partitions_are_lost_is_forgotten_when_they_come_back() -> None:
    """Delivered by a process that is in no group then: only in its next group could the commit arrive."""
    world = World([[["a"]]], chunk_tokens=1, executor=Late())
    loop = world.loop()
    visitors: list[Visitor] = []

    def lose(name: str) -> None:
        if name == "poll" and loop._under_way and not visitors:
            visitors.append(Visitor(world.kafka))  # who has not joined yet: so the group is not there yet
            world.consumer.evict()
        elif name == "poll" and loop._under_way.has_done and not seen:
            elsewhere(world, 3)
            visitors[0].leave()
            seen.append(standing(world))

    seen: list[list[int]] = []
    world.kafka.step = lose
    run_on(world, loop)
    assert world.delivered == ["a"]
    assert len(seen) == 1
    assert set(seen[0]) == {3}, "nobody's commit is undone"
