"""Few records: they wait for company; a backlog waits for nothing, and whatever happens no record is lost."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outgoing import Outgoing
from tests.support.loops import ALL_TROUBLE, TOPIC, Immediately, Late, Trouble, World, work
from workers import loop as loop_module
from workers import pace as pace_module
from workers.pace import Pace

EXECUTORS = pytest.mark.parametrize("executor", [Immediately(), Late()], ids=["early", "late"])
FEW = 100_000
"""Tokens of a chunk of which a record or two are few."""
LINGER_S = 5.0


@dataclass
class Clock:
    """In place of the module `time`: it stands still but for sleeps."""

    now: float = 1_000.0
    slept: list[float] = field(default_factory=list)
    during: Callable[[], object] = lambda: None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.during()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(pace_module, "time", found)
    return found


def named(count: int) -> list[list[str]]:
    """So many records of one job each."""
    return [[f"job-{number:03}"] for number in range(count)]


def once(step: str, action: Callable[[], object]) -> Callable[[str], None]:
    """What to do at the first such step."""
    due = [action]
    return lambda name: due.pop()() if name == step and due else None  # type: ignore[func-returns-value]


@EXECUTORS
def test_a_few_records_wait_for_company_where_a_chunk_began_just_now(clock: Clock, executor: Executor) -> None:
    world = World([[["first"]]], chunk_tokens=FEW, linger_s=LINGER_S, executor=executor)
    world.coming = [(0, "fourth")]
    clock.during = lambda: world.kafka.append(TOPIC, work("third")) if len(clock.slept) == 3 else None
    world.kafka.step = once("committed", lambda: world.kafka.append(TOPIC, work("second")))
    assert world.run()
    assert world.scored == [["first"], ["second", "third"], ["fourth"]]
    assert sum(clock.slept) == 3 * LINGER_S, "once after each chunk of few"


def test_a_lone_record_on_an_idle_system_goes_at_once(clock: Clock) -> None:
    world = World([[["first"]]], chunk_tokens=FEW, linger_s=LINGER_S)
    loop = world.loop()
    idle: list[int] = []

    def wait() -> None:
        idle.append(len(clock.slept))
        clock.now += LINGER_S
        if len(idle) == 2:
            world.kafka.append(TOPIC, work("second"))
            world.kafka.step = lambda name: loop.stop() if name == "score" else None

    world.kafka.idle = wait
    loop.run(TOPIC)
    assert world.delivered == ["first", "second"]
    assert idle == [len(clock.slept)] * 2, "nothing slept since the first chunk"


@EXECUTORS
@pytest.mark.parametrize(
    ("records", "chunk_tokens"),
    [
        (20, len(work("job-000"))),  # many chunks a fetch
        (2 * loop_module._POLL_RECORDS, 10_000_000),  # as much as two fetches may bring, though little of a chunk
    ],
)
def test_a_backlog_waits_for_nothing(clock: Clock, executor: Executor, records: int, chunk_tokens: int) -> None:
    world = World([named(records)], chunk_tokens=chunk_tokens, linger_s=LINGER_S, executor=executor)
    assert world.run()
    assert len(world.delivered) == records
    assert clock.slept == []


@EXECUTORS
@pytest.mark.parametrize(("chunk_tokens", "under_way"), [(1, [2, 2, 2, 2, 1]), (FEW, [1, 1, 1, 1, 1])], ids=["many", "few"])
def test_a_chunk_waits_at_the_model_while_the_last_is_delivered_but_not_where_they_are_few(
    chunk_tokens: int, under_way: list[int], executor: Executor
) -> None:
    world = World([named(5 if chunk_tokens == 1 else 1)], chunk_tokens=chunk_tokens, executor=executor)
    loop = world.loop()
    seen: list[int] = []

    def deliver(outgoing: Sequence[Outgoing]) -> None:
        seen.append(len(loop._under_way))
        world.deliver(outgoing)
        if chunk_tokens == FEW and len(seen) < 5:
            world.kafka.append(TOPIC, work("more"))

    loop.deliver = deliver
    loop.run(TOPIC)
    assert seen == under_way


@EXECUTORS
def test_nothing_is_polled_with_records_in_hand(clock: Clock, executor: Executor) -> None:
    world = World([named(3), named(2)], chunk_tokens=FEW, linger_s=LINGER_S, executor=executor)
    world.coming = [(number % 2, f"late-{number}") for number in range(6)]
    clock.during = lambda: world.kafka.append(TOPIC, work("amid")) if len(clock.slept) < 40 else None
    loop = world.loop()
    held: list[tuple[int, int]] = []
    world.kafka.step = lambda name: held.append((len(loop._fetched), len(loop._under_way))) if name == "poll" else None
    loop.run(TOPIC)
    assert len(held) > 10
    assert set(held) == {(0, 0)}
    assert world.lag == 0


@pytest.mark.parametrize("linger_s", [0.01, 3600])
def test_a_stop_during_the_wait_is_quick(clock: Clock, linger_s: float) -> None:
    world = World([[["a"]]], chunk_tokens=FEW, linger_s=linger_s)
    loop = world.loop()
    polls: list[str] = []
    world.kafka.step = lambda name: polls.append(name) if name == "poll" else None
    clock.during = loop.stop
    loop.run(TOPIC)
    assert clock.slept == [pytest.approx(min(linger_s, pace_module._LOOK_S))]
    assert (len(polls), world.lag, world.committed().metadata) == (1, 0, "")


COMING = st.lists(st.integers(0, 2), min_size=1, max_size=12)
TROUBLE = st.dictionaries(st.integers(1, 150), st.sampled_from(ALL_TROUBLE), max_size=12)


@settings(deadline=None, max_examples=200)
@given(COMING, st.sampled_from([1, 1_500, FEW]), st.sampled_from([Immediately(), Late()]), TROUBLE)
def test_no_job_is_lost_where_they_come_one_by_one(
    partitions: list[int], chunk_tokens: int, executor: Executor, trouble: Mapping[int, str]
) -> None:
    world = World([[], [], []], chunk_tokens=chunk_tokens, executor=executor, attempts=len(trouble) + 1)
    world.coming = [(partition, f"job-{number}") for number, partition in enumerate(partitions)]
    everybody = {name for _, name in world.coming}
    Trouble(world, trouble)
    world.run_until_done()
    assert not world.buried
    assert set(world.delivered) == everybody


@pytest.mark.parametrize(("sizes", "few"), [([], 0), ([60], 1), ([20, 20, 20], 1), ([62], 0), ([40, 22], 0), ([2] * 4, 0)])
def test_few_is_little_of_a_chunk_and_less_than_a_fetch_may_bring(sizes: Sequence[int], few: int) -> None:
    """A token is two bytes, and few an eighth of a chunk."""
    world = World([[]])
    pace = Pace(0, chunk_tokens=240, fetch_records=4)
    pace.fetched([world.kafka.append(TOPIC, b"x" * size, partition=0) for size in sizes])
    assert pace.few is bool(few)
