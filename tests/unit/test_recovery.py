"""Who killed the process? Whatever dies and whenever: every job is delivered or buried, and only what kills alone is buried."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.work import unpack
from tests.support.fake_kafka import FakeConsumer
from tests.support.loops import (
    ALL_TROUBLE,
    ATTEMPTS,
    GROUP,
    TOPIC,
    Immediately,
    Killed,
    Late,
    Trouble,
    Visitor,
    World,
    damaged,
    work,
)
from workers import recovery
from workers.attempts import Marker

SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=5), min_size=1, max_size=3).filter(any)
"""Jobs in each record of each partition."""
CHUNKS = st.sampled_from([1, 500, 1_500, 10_000])
EXECUTORS = st.sampled_from([Immediately(), Late()])
STEPS = st.integers(1, 150)
TROUBLE_MAX = 12
TROUBLE = st.dictionaries(STEPS, st.sampled_from(ALL_TROUBLE), max_size=TROUBLE_MAX)


@st.composite
def worlds(draw: st.DrawFn, poison_max: int = 2) -> World:
    shape = draw(SHAPES)
    partitions = [
        [[f"{place}-{offset}-{number}" for number in range(jobs)] for offset, jobs in enumerate(records)]
        for place, records in enumerate(shape)
    ]
    everybody = [name for records in partitions for ids in records for name in ids]
    poison = draw(st.sets(st.sampled_from(everybody), max_size=poison_max))
    return World(partitions, poison, chunk_tokens=draw(CHUNKS), executor=draw(EXECUTORS))


@settings(deadline=None, max_examples=150)
@given(worlds())
def test_a_poisonous_job_is_buried_after_exactly_so_many_deaths_alone(world: World) -> None:
    world.run_until_done()
    assert world.buried == dict.fromkeys(world.poison, f"worker_crashed:{ATTEMPTS}")
    assert world.died_alone == dict.fromkeys(world.poison, ATTEMPTS)
    assert set(world.delivered) == world.jobs - set(world.poison)


@settings(deadline=None, max_examples=200)
@given(worlds(poison_max=1), TROUBLE)
def test_no_job_is_lost_and_no_neighbour_buried_whatever_happens_when(world: World, trouble: Mapping[int, str]) -> None:
    world.attempts = TROUBLE_MAX + 1  # a kill and a lost partition look like a death, so there must be fewer of them
    Trouble(world, trouble)
    world.run_until_done()
    assert world.buried.keys() == set(world.poison)
    assert set(world.delivered) == world.jobs - set(world.poison)


@settings(deadline=None, max_examples=100)
@given(worlds(poison_max=0), st.sets(STEPS, max_size=40))
def test_kafka_that_takes_no_results_buries_nobody(world: World, failures: set[int]) -> None:
    Trouble(world, dict.fromkeys(failures, "fail_a_delivery"))
    world.run_until_done()
    assert not world.buried
    assert set(world.delivered) == world.jobs


@settings(deadline=None, max_examples=100)
@given(worlds(poison_max=0), st.sets(STEPS, max_size=20))
def test_rebalances_that_move_nothing_repeat_nothing(world: World, bounces: set[int]) -> None:
    Trouble(world, dict.fromkeys(bounces, "bounce"))
    world.run_until_done()
    assert sorted(world.delivered) == sorted(world.jobs)


def test_a_death_costs_the_neighbours_a_repeat_at_most() -> None:
    world = World([[["a"], ["b", "bad", "c"], ["d"]]], poison={"bad"}, chunk_tokens=10_000)
    world.run_until_done()
    assert world.scored == [
        ["a", "b", "bad", "c", "d"],  # the chunk
        ["a"],  # record by record
        ["b", "bad", "c"],
        ["b"],  # job by job
        ["bad"],
        ["bad"],
        ["bad"],
        ["c"],
        ["d"],  # record by record again
    ]


def test_a_damaged_record_amid_a_marked_chunk_is_dead_lettered_once() -> None:
    world = World([[["a"], ["b"]]])
    world.kafka.topics[TOPIC][0].insert(1, world.kafka.append(TOPIC, damaged(), partition=0)._replace(offset=1))
    del world.kafka.topics[TOPIC][0][-1]
    world.kafka.topics[TOPIC][0][2] = world.kafka.topics[TOPIC][0][2]._replace(offset=2)
    world.mark(Marker(3, "record").dump())
    world.run_until_done()
    assert list(world.buried.values()) == ["work_corrupt"]
    assert world.delivered == ["a", "b"]


def test_a_marker_without_records_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_FETCH_S", 0.05)
    world = World([[["a"]], [["b"]]])
    world.mark(Marker(9).dump(), offset=1)
    loop = world.loop()
    world.kafka.idle = lambda: loop.stop() if world.delivered else None
    loop.run(TOPIC)  # does not wait for ever for what retention has taken
    assert world.delivered == ["b"]


def test_only_marked_records_are_taken_with_care() -> None:
    world = World([[["a"], ["b"], ["c"], ["d"]]], chunk_tokens=10_000)
    world.mark(Marker(2).dump())
    assert world.run()
    assert world.scored == [["a"], ["b"], ["c", "d"]]


def test_other_partitions_wait_and_lose_nothing_meanwhile() -> None:
    world = World([[["a"], ["b"]], [["c"], ["d"]], [["e"]]], chunk_tokens=10_000)
    world.mark(Marker(2).dump(), partition=1)
    assert world.run()
    assert world.scored[:2] == [["c"], ["d"]]
    assert sorted(world.delivered) == ["a", "b", "c", "d", "e"]


def once(step: str, action: Callable[[], object]) -> Callable[[str], None]:
    """What to do at the first such step."""
    done: list[bool] = []

    def look(name: str) -> None:
        if name == step and not done:
            done.append(True)
            action()

    return look


def test_a_rebalance_during_recovery_costs_the_other_partitions_nothing() -> None:
    """A partition that stays ours keeps its position: what was fetched of it before must not be thrown away."""
    world = World([[["a"], ["b"]], [["c"], ["d"]]])
    world.mark(Marker(2).dump())
    world.kafka.step = once("score", world.kafka.groups[GROUP].change)
    assert world.run()
    assert (sorted(world.delivered), world.lag) == (["a", "b", "c", "d"], 0)


@pytest.mark.parametrize("executor", [Immediately(), Late()])
def test_a_partition_that_comes_during_recovery_is_looked_at_before_it_is_worked_on(executor: Executor) -> None:
    world = World([[["bad"]], [["a"], ["b"], ["c"]]], poison={"bad"}, executor=executor)
    world.mark(Marker(1, "job", 0, ATTEMPTS).dump(), partition=0)
    world.mark(Marker(3).dump(), partition=1)
    other = Visitor(world.kafka)  # has partition 0 until it leaves
    world.kafka.step = lambda name: other.poll() if name == "poll" else other.leave() if name == "score" else None
    assert world.run()
    assert world.buried == {"bad": f"worker_crashed:{ATTEMPTS}"}


def test_a_stopping_worker_does_not_finish_a_long_recovery_but_leaves_its_marker() -> None:
    world = World([[["a"], ["b"], ["c"]]])
    world.mark(Marker(3).dump())
    loop = world.loop()
    world.kafka.step = lambda name: loop.stop() if name == "score" else None
    loop.run(TOPIC)
    assert world.scored == [["a"]]
    assert (world.committed().offset, world.committed().metadata) == (1, Marker(3, "record").dump())


def test_a_partition_that_goes_during_its_recovery_is_let_go() -> None:
    world = World([[["a"], ["b"]], [["c"]]])
    world.mark(Marker(2).dump())

    def throw_out() -> None:
        world.consumer.evict()

    world.kafka.step = once("score", throw_out)
    world.run_until_done()
    assert set(world.delivered) == {"a", "b", "c"}


def test_an_operator_who_kills_again_and_again_at_one_job_is_the_one_thing_that_buries_it() -> None:
    """Three kills over one lone job cannot be told from a poisonous job."""
    world = World([[["a", "b"]]])
    world.mark(Marker(1, "job", 0, ATTEMPTS).dump())
    world.run_until_done()
    assert world.buried == {"a": f"worker_crashed:{ATTEMPTS}"}
    assert world.delivered == ["b"]


def test_a_delivery_that_fails_at_a_lone_job_does_not_count_as_its_death() -> None:
    world = World([[["a", "b"]]])
    world.mark(Marker(1, "job", 0, 2).dump())
    world.undelivered = 5
    world.run_until_done()
    assert not world.buried
    assert world.committed().offset == 1


def test_single_jobs_are_the_batch_again() -> None:
    whole = unpack(work("a", "b", "c"))
    parts = list(recovery.single_jobs(whole))
    assert [part.description.items[0].job.job_id for part in parts] == ["a", "b", "c"]
    assert [token for part in parts for token in part.tokens] == whole.tokens.tolist()
    assert [length for part in parts for length in part.lengths] == whole.lengths.tolist()
    assert {part.tokenizer_sha256 for part in parts} == {whole.tokenizer_sha256}


def test_a_kill_passes_through_everything() -> None:
    with pytest.raises(Killed):
        World([[["bad"]]], poison={"bad"}).loop().run(TOPIC)


@pytest.mark.parametrize("theirs", ["", Marker(3, "record").dump()], ids=["all well", "they died, too"])
def test_jobs_that_one_record_has_done_are_skipped_in_no_other(theirs: str) -> None:
    """The partition leaves in the first poll of a recovery, somebody does the record it was about, and it comes back."""
    world = World([[["a", "b"], ["c", "d"], ["e"]]])
    world.mark(Marker(3, "job", 1, 1).dump())
    polls: list[str] = []

    def lose(name: str) -> None:
        if name == "poll":
            polls.append(name)
        if name == "poll" and len(polls) == 2:  # in the first one it got the partition
            world.consumer.evict()
            world.mark(theirs, offset=1)

    world.kafka.step = lose
    world.run_until_done()
    assert world.delivered == ["c", "d", "e"]


def test_a_record_that_is_gone_takes_what_was_done_of_it_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retention has removed the record that a mark is about, so the next one comes: of that, nothing was done."""
    world = World([[["a", "b"], ["c", "d"]]])
    world.mark(Marker(2, "job", 1, 1).dump())
    monkeypatch.setattr(FakeConsumer, "seek", lambda self, place, _: self._positions.update({place: 1}))
    monkeypatch.setattr(world.kafka, "first_at", lambda _place, _offset: 1)
    world.run_until_done()
    assert world.delivered == ["c", "d"]
