"""No record is passed over, in a worker's loop or behind Faust; what the log itself does not have is not missed."""

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.backlog import Waiting
from pipeline.preprocess.succession import FaustSuccession
from pipeline.succession import Place, Succession
from schemas.errors import ConfigurationError, TransientError
from tests.support.fake_kafka import FakeConsumer
from tests.support.loops import World

PLACE = ("jobs", 3)


def log_of(*offsets: int) -> Callable[[Place, int], int]:
    """A log whose partitions have records at these offsets."""
    return lambda _, offset: next(found for found in offsets if found >= offset)


def never(_place: Place, _offset: int) -> int:
    """Where nobody is to ask the log."""
    raise AssertionError("the log was asked")


@given(st.lists(st.integers(0, 9), max_size=40))
def test_what_comes_in_order_or_again_asks_nobody(steps_back: list[int]) -> None:
    succession, offset = Succession(never), 0
    for back in steps_back:
        offset = max(0, offset - back)
        succession.follow(PLACE, offset)
        offset += 1


@given(st.sets(st.integers(0, 30), min_size=1), st.integers(0, 30))
def test_a_jump_is_refused_exactly_where_the_log_has_a_record_between(offsets: set[int], begin: int) -> None:
    present = sorted(offset for offset in offsets if offset >= begin)
    for came in present:
        succession = Succession(log_of(*sorted(offsets)))
        succession.begin(PLACE, begin)
        if came == present[0]:
            succession.follow(PLACE, came)
            assert not succession.jumps(PLACE, came + 1)
        else:
            with pytest.raises(TransientError, match=f"from offset {present[0]} on were passed over, {came} came instead"):
                succession.follow(PLACE, came)


def test_partitions_are_apart_and_what_is_finished_stays_so() -> None:
    succession = Succession(never)
    succession.begin(PLACE, 7)
    succession.begin(PLACE, 5)
    succession.follow(PLACE, 7)
    succession.follow(("jobs", 4), 0)
    succession.clear()
    assert succession.jumps(PLACE, 1)


@pytest.mark.parametrize("skipped", [1, 3])
def test_a_loop_that_is_given_a_later_record_commits_nothing_and_ends(monkeypatch: pytest.MonkeyPatch, skipped: int) -> None:
    """As if the consumer went on from a position that is not its own."""
    world = World([[[name] for name in "abcdef"]])
    monkeypatch.setattr(FakeConsumer, "_position", lambda self, place: self._positions.get(place) or skipped)
    assert not world.run()
    assert world.delivered == []
    assert (found := world.committed()) is None or found.offset == 0
    monkeypatch.undo()
    world.run_until_done()
    assert sorted(world.delivered) == list("abcdef")


def test_a_loop_goes_on_where_retention_has_removed_the_first_records(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([[[name] for name in "abcdef"]])
    monkeypatch.setattr(FakeConsumer, "_position", lambda self, place: self._positions.get(place) or 2)
    monkeypatch.setattr(world.kafka, "first_at", lambda _place, _offset: 2)
    assert world.run()
    assert sorted(world.delivered) == list("cdef")


@dataclass
class Message:
    """What is read of a Faust message."""

    offset: int
    generation_id: int = 1
    partition: int = PLACE[1]

    @property
    def tp(self) -> Place:
        """As Faust has it."""
        return PLACE[0], self.partition


class Faust:
    """A generation, what its group has committed, and the log."""

    def __init__(self, executor: Executor, committed: int, log: Callable[[Place, int], int], patience_s: float = 0) -> None:
        self.generation = 1
        self.committed: list[int | Exception] = [committed]
        self.asked = 0
        self._following = FaustSuccession(
            lambda: self.generation, self._waiting, Succession(log), executor=executor, patience_s=patience_s
        )

    def _waiting(self, places: Collection[Place]) -> dict[Place, Waiting]:
        self.asked += 1
        found = self.committed.pop(0) if len(self.committed) > 1 else self.committed[0]
        if isinstance(found, Exception):
            raise found
        return {place: Waiting(found, 1_000) for place in places}

    def follow(self, messages: Sequence[Message]) -> None:
        """They are taken up, one after the other."""

        async def all_of_them() -> None:
            for message in messages:
                await self._following.follow(message)

        asyncio.run(all_of_them())


@pytest.fixture
def executor() -> Iterator[Executor]:
    """The one thread that asks."""
    with ThreadPoolExecutor(1) as made:
        yield made


def test_a_generation_goes_on_from_what_is_committed_and_asks_once_a_partition(executor: Executor) -> None:
    faust = Faust(executor, committed=5, log=never)
    faust.follow([Message(5), Message(6), Message(6), Message(5, partition=4), Message(7)])
    assert faust.asked == 2


@pytest.mark.parametrize("came", [[6], [5, 7], [5, 6, 5, 8]])
def test_a_generation_takes_up_nothing_behind_what_never_came(executor: Executor, came: list[int]) -> None:
    faust = Faust(executor, committed=5, log=log_of(*range(10)))
    with pytest.raises(TransientError, match="passed over"):
        faust.follow([Message(offset) for offset in came])


def test_a_new_generation_forgets_what_the_last_one_had_in_hand(executor: Executor) -> None:
    faust = Faust(executor, committed=5, log=log_of(*range(10)))
    faust.follow([Message(5), Message(6), Message(7)])
    faust.generation = 2
    with pytest.raises(TransientError, match="from offset 5 on were passed over, 8 came instead"):
        faust.follow([Message(8, generation_id=2)])


def test_messages_of_a_generation_that_is_over_are_passed_by(executor: Executor) -> None:
    faust = Faust(executor, committed=5, log=never)
    faust.follow([Message(5), Message(90, generation_id=0), Message(6)])
    assert faust.asked == 1


def test_gaps_of_the_log_are_none_of_ours(executor: Executor) -> None:
    Faust(executor, committed=0, log=log_of(3, 4, 8)).follow([Message(3), Message(4), Message(8)])


def test_a_broker_that_is_away_is_asked_again_and_not_for_ever(executor: Executor) -> None:
    faust = Faust(executor, committed=5, log=never, patience_s=60)
    faust.committed.insert(0, TransientError("away"))
    faust.follow([Message(5)])
    assert faust.asked == 2
    impatient = Faust(executor, committed=0, log=never)
    impatient.committed = [TransientError("away")]
    with pytest.raises(TransientError, match="away"):
        impatient.follow([Message(0)])


def test_a_refusal_is_no_passing_trouble(executor: Executor) -> None:
    faust = Faust(executor, committed=0, log=never, patience_s=60)
    faust.committed = [ConfigurationError("refused")]
    with pytest.raises(ConfigurationError, match="refused"):
        faust.follow([Message(0)])
