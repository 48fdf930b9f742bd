"""The batcher: bounded, in no haste but where nobody else is on the way, and nothing acknowledged before it is delivered."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outgoing import Outgoing
from pipeline.preprocess.batcher import Batcher, Limits
from pipeline.preprocess.decode import JobRecord
from pipeline.preprocess.gate import AckGate
from schemas.errors import TransientError
from tests.support.records import job_record

HOUR_S = 3600.0
MANY = 10**9
TURNS = 30
"""Turns of the event loop in which everything that can happen without us has happened."""


class Panic(BaseException):
    """As a panic of a Rust library comes to Python: no Exception."""


class Immediately(Executor):
    """Runs the stage while the loop waits, so that every test takes the same turns."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **options))
        except BaseException as error:  # noqa: BLE001 (as the threads of the standard library do)
            future.set_exception(error)
        return future


@dataclass
class Message:
    """What the gate reads of a Faust message."""

    offset: int
    tp: tuple[str, int] = ("jobs", 0)
    generation_id: int = 1


@dataclass
class Event:
    """What the gate asks of a Faust event."""

    message: Message
    acknowledged: list[int]

    def ack(self) -> bool:
        """Note the offset."""
        self.acknowledged.append(self.message.offset)
        return True


class World:
    """A batcher between a fake stage and a fake broker; the test says when a batch is confirmed, and how."""

    def __init__(self, *, linger_s: float = HOUR_S, executor: Executor | None = None, **limits: int) -> None:
        given = {"batch_records": MANY, "batch_bytes": MANY, "in_flight_records": MANY, "in_flight_bytes": MANY} | limits
        self.acknowledged: list[int] = []
        self.prepared: list[list[int]] = []
        self.on_the_way: list[tuple[list[int], asyncio.Future[None]]] = []
        self.fatal: list[BaseException] = []
        self.breaks_at: dict[int, BaseException] = {}
        self.gate = AckGate(lambda: 1)
        self.batcher = Batcher(
            self._stage,
            self._deliver,
            self.gate,
            limits=Limits(linger_s=linger_s, **given),
            executor=executor or Immediately(),
            on_fatal=self.fatal.append,
        )
        self._next = 0

    def _stage(self, records: Sequence[JobRecord]) -> list[Outgoing]:
        offsets = [record.offset for record in records]
        self.prepared.append(offsets)
        for offset in offsets:
            if offset in self.breaks_at:
                raise self.breaks_at[offset]
        return [Outgoing("work", None, str(offset).encode()) for offset in offsets]

    async def _deliver(self, records: Sequence[Outgoing]) -> None:
        confirmed = asyncio.get_running_loop().create_future()
        self.on_the_way.append(([int(record.value) for record in records], confirmed))
        await confirmed

    def put(self, size: int = 10, key: bytes | None = None, **place: int) -> asyncio.Task[None]:
        """A record of that size arrives."""
        record = job_record(b"x" * size, offset=self._next, key=key, **place)
        slot = self.gate.admit(Event(Message(self._next), self.acknowledged))
        self._next += 1
        return asyncio.create_task(self.batcher.put(slot, record))

    async def confirm(self, place: int = 0, error: BaseException | None = None) -> None:
        """The broker confirms, or refuses, one of the batches that are on the way."""
        _, confirmed = self.on_the_way.pop(place)
        if error:
            confirmed.set_exception(error)
        else:
            confirmed.set_result(None)
        await settle()


async def settle() -> None:
    """Let everything happen that can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what takes a thread, or a moment of time."""
    for _ in range(5_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("not within some seconds")


def play(story: Callable[[World], Awaitable[None]], **options: Any) -> World:
    """The story, in an event loop of its own, and the world at its end."""

    async def whole() -> World:
        world = World(**options)
        running = asyncio.create_task(world.batcher.run())
        await story(world)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        for _, confirmed in world.on_the_way:
            confirmed.cancel()
        await settle()
        return world

    return asyncio.run(whole())


def test_a_lone_record_goes_at_once() -> None:
    async def story(world: World) -> None:
        await world.put()
        await settle()
        assert world.prepared == [[0]]
        assert world.acknowledged == [], "not before it is delivered"
        await world.confirm()
        await world.put()
        await settle()

    world = play(story)
    assert (world.prepared, world.acknowledged) == ([[0], [1]], [0])


def test_records_gather_while_others_are_on_the_way() -> None:
    async def story(world: World) -> None:
        await world.put()
        await settle()
        for _ in range(3):
            await world.put()
            await settle()
        assert world.prepared == [[0]]
        await world.confirm()

    assert play(story).prepared == [[0], [1, 2, 3]]


def test_records_gather_no_longer_than_the_linger() -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            await world.put()
            await settle()
        await until(lambda: len(world.prepared) == 2)
        assert world.acknowledged == [], "the first is still on the way"

    assert play(story, linger_s=0.01).prepared == [[0], [1, 2]]


def test_without_linger_nothing_waits_for_company() -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            await world.put()
            await settle()

    assert play(story, linger_s=0).prepared == [[0], [1], [2]]


@pytest.mark.parametrize("limits", [{"batch_records": 3}, {"batch_bytes": 30}])
def test_a_full_batch_waits_for_nothing(limits: dict[str, int]) -> None:
    async def story(world: World) -> None:
        for _ in range(6):
            await world.put()
            await settle()

    assert play(story, **limits).prepared == [[0], [1, 2, 3]]


def test_a_batch_is_bounded_by_records_and_by_bytes() -> None:
    async def story(world: World) -> None:
        for size in (10, 10, 10, 95, 10, 10, 10, 10):
            world.put(size)
        await settle()

    assert play(story, linger_s=0, batch_records=3, batch_bytes=100).prepared == [[0, 1, 2], [3, 4], [5, 6, 7]]


def test_a_record_larger_than_a_batch_goes_all_the_same() -> None:
    async def story(world: World) -> None:
        for size in (500, 500):
            world.put(size)
        await settle()

    assert play(story, linger_s=0, batch_bytes=100, in_flight_bytes=10_000).prepared == [[0], [1]]


@pytest.mark.parametrize("limits", [{"in_flight_records": 2}, {"in_flight_bytes": 20}])
def test_taking_up_waits_while_too_much_is_on_the_way(limits: dict[str, int]) -> None:
    async def story(world: World) -> None:
        first, second = world.put(), world.put()
        await settle()
        assert (first.done(), second.done()) == (True, False)
        assert sum(len(batch) for batch in world.prepared) == 2, "what is taken up is worked on"
        await world.confirm()
        assert second.done()

    play(story, linger_s=0, **limits)


def test_what_is_delivered_behind_a_slow_one_still_takes_room() -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            await world.put()
            await settle()
        third = world.put()
        await settle()
        await world.confirm(2)
        await world.confirm(1)
        assert not third.done()
        assert world.acknowledged == []
        await world.confirm(0)
        assert third.done()
        assert world.acknowledged == [0, 1, 2]

    play(story, linger_s=0, in_flight_records=3)


def test_a_key_counts_as_bytes_on_the_way() -> None:
    async def story(world: World) -> None:
        taken = world.put(1, key=b"k" * 50)
        await settle()
        assert not taken.done()

    play(story, linger_s=0, in_flight_bytes=50)


def test_acknowledgements_keep_their_order_whatever_is_confirmed_first() -> None:
    async def story(world: World) -> None:
        for _ in range(3):
            await world.put()
            await settle()
        await world.confirm(2)
        await world.confirm(1)
        assert world.acknowledged == []
        await world.confirm(0)

    assert play(story, linger_s=0).acknowledged == [0, 1, 2]


@pytest.mark.parametrize("error", [TransientError("not confirmed"), ZeroDivisionError("a bug"), Panic("in Rust")])
def test_what_is_not_delivered_is_fatal_and_never_acknowledged(error: BaseException) -> None:
    async def story(world: World) -> None:
        for _ in range(2):
            await world.put()
            await settle()
        await world.confirm(0, error)
        await world.confirm(0)

    world = play(story, linger_s=0)
    assert (world.fatal, world.acknowledged) == ([error], [])


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), MemoryError(), Panic("in Rust")])
def test_a_stage_that_breaks_is_fatal_and_nothing_of_it_acknowledged(error: BaseException) -> None:
    async def story(world: World) -> None:
        world.breaks_at = {1: error}
        for _ in range(2):
            await world.put()
            await settle()
        await world.confirm()

    world = play(story, linger_s=0)
    assert (world.fatal, world.acknowledged) == ([error], [0])


def test_an_acknowledgement_that_fails_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_event: Event) -> bool:
        raise ZeroDivisionError

    async def story(world: World) -> None:
        monkeypatch.setattr(Event, "ack", fail)
        await world.put()
        await settle()
        await world.confirm()

    assert [type(error) for error in play(story).fatal] == [ZeroDivisionError]


def test_drained_means_that_everything_is_delivered() -> None:
    async def story(world: World) -> None:
        await world.batcher.drain()
        for _ in range(2):
            await world.put()
            await settle()
        draining = asyncio.create_task(world.batcher.drain())
        await world.confirm(1)
        assert not draining.done()
        await world.confirm(0)
        assert draining.done()

    assert play(story, linger_s=0).acknowledged == [0, 1]


def test_stopping_is_not_fatal() -> None:
    async def story(world: World) -> None:
        await world.put()
        await settle()
        await world.put()
        await settle()

    assert play(story).fatal == []


def test_the_stage_runs_beside_the_event_loop() -> None:
    async def story(world: World) -> None:
        await world.put()
        await until(lambda: bool(world.on_the_way))
        await world.confirm()

    with ThreadPoolExecutor(1) as executor:
        assert play(story, executor=executor).acknowledged == [0]


@settings(deadline=None)
@given(st.lists(st.integers(0, 60), max_size=25), st.randoms(use_true_random=False))
def test_every_record_is_prepared_once_in_order_and_in_the_end_acknowledged(sizes: list[int], random: Any) -> None:
    async def story(world: World) -> None:
        feeding = asyncio.create_task(feed(world, sizes))
        for _ in range(10 * len(sizes) + 10):
            await settle()
            if world.on_the_way and random.random() < 0.7:
                await world.confirm(random.randrange(len(world.on_the_way)))
        while world.on_the_way:
            await world.confirm()
        await feeding

    world = play(story, linger_s=0, batch_records=4, batch_bytes=100, in_flight_records=6, in_flight_bytes=150)
    assert [offset for batch in world.prepared for offset in batch] == list(range(len(sizes)))
    assert world.acknowledged == list(range(len(sizes)))
    assert world.fatal == []


async def feed(world: World, sizes: Sequence[int]) -> None:
    """One record after the other, as the one agent does; none is taken up while the limits are reached."""
    for number, size in enumerate(sizes):
        unacknowledged = sizes[len(world.acknowledged) : number]
        assert len(unacknowledged) < 6
        assert sum(unacknowledged) < 150
        await world.put(size)


def test_the_oldest_in_hand_is_the_first_that_is_not_delivered() -> None:
    async def story(world: World) -> None:
        assert (world.batcher.in_hand(), world.batcher.oldest_ms()) == (0, None)
        await world.put(timestamp_ms=7)
        await settle()
        await world.put(timestamp_ms=3)
        assert (world.batcher.in_hand(), world.batcher.oldest_ms()) == (2, 7)
        await world.confirm()
        assert (world.batcher.in_hand(), world.batcher.oldest_ms()) == (1, 3)
        await world.confirm()
        assert (world.batcher.in_hand(), world.batcher.oldest_ms()) == (0, None)

    assert play(story).acknowledged == [0, 1]
