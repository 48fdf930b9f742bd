"""The watchdog: what counts as standing still, what does not, and that it says so once in time."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka.errors import TopicAuthorizationFailedError

from pipeline.watchdog import LOOK_EVERY_S, PAUSE_S, Progress, ProgressWatch, Watchdog
from tests.support.waiting import wait_until

STUCK_AFTER_S = 120
WORK = Progress(assigned=2, finished=5, lag=10)


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(clock: Clock, *looks: tuple[float, Progress]) -> list[float | None]:
    """Since when the process has been stuck, at looks that come so many seconds after each other."""
    watch = ProgressWatch(clock, LOOK_EVERY_S + PAUSE_S)
    found = []
    for seconds, progress in looks:
        clock.now += seconds
        found.append(watch.observe(progress))
    return found


def test_work_that_waits_while_nothing_is_finished_is_a_standstill_from_the_second_look_on(clock: Clock) -> None:
    assert watched(clock, (30, WORK), (30, WORK), (30, WORK), (30, WORK)) == [None, 1_060, 1_060, 1_060]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Progress(2, 6, 10), id="something was finished"),
        pytest.param(Progress(2, 4, 10), id="another count is a sign of life, whatever it says"),
        pytest.param(Progress(2, 5, 0), id="nothing waits"),
        pytest.param(Progress(0, 5, 10), id="no partition is ours"),
        pytest.param(Progress(2, 5, None), id="the broker does not tell"),
    ],
)
def test_all_else_ends_a_standstill_and_its_time_begins_anew(clock: Clock, other: Progress) -> None:
    begun = Progress(2, other.finished, 10)
    found = watched(clock, (30, WORK), (30, WORK), (30, other), (30, begun), (30, begun))
    assert found == [None, 1_060, None, 1_120, 1_120]


def test_an_idle_process_is_never_stuck(clock: Clock) -> None:
    assert watched(clock, *[(30, Progress(8, 77, 0))] * 100) == [None] * 100


def test_a_slow_process_is_not_stuck(clock: Clock) -> None:
    assert watched(clock, *((30, Progress(1, number, 1_000)) for number in range(100))) == [None] * 100


def test_time_in_which_nobody_looked_does_not_count(clock: Clock) -> None:
    """A process that was stopped, or a machine that slept, is asked anew when it goes on."""
    found = watched(clock, (30, WORK), (30, WORK), (3_600, WORK), (30, WORK))
    assert found == [None, 1_060, 4_660, 4_660]


@dataclass
class Process:
    """What the watchdog sees, and how often it asks the broker; `lags` run out like a broker that goes away."""

    assigned: int = 2
    finished: int = 0
    waiting: int | Exception = 10
    asked: int = 0
    said: list[str] = field(default_factory=list)

    def counts(self) -> tuple[int, int]:
        return self.assigned, self.finished

    def lag(self) -> int:
        self.asked += 1
        if isinstance(self.waiting, Exception):
            raise self.waiting
        return self.waiting


def looks(clock: Clock, process: Process, count: int, **options: Any) -> None:
    """So many looks at `process`."""
    watchdog = Watchdog(process, process.said.append, **{"stuck_after_s": STUCK_AFTER_S, "clock": clock, **options})
    for _ in range(count):
        clock.now += LOOK_EVERY_S
        watchdog.look()


def test_a_process_that_stands_still_too_long_is_told_so_in_a_sentence(clock: Clock) -> None:
    process = Process(waiting=1_234)
    looks(clock, process, 6)
    assert process.said == ["stuck: 2 partitions are ours and 1,234 records wait, but nothing was finished for 120 s or more"]


def test_below_the_bound_nothing_is_said(clock: Clock) -> None:
    """A long run of the model is no standstill."""
    process = Process()
    looks(clock, process, 5)
    assert process.said == []


def test_a_broker_that_does_not_answer_is_nobodys_standstill_and_nobodys_news(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(waiting=ConnectionError("away"))
    with caplog.at_level(logging.INFO):
        looks(clock, process, 100)
    assert process.said == []
    assert process.asked == 99
    assert not caplog.records


def test_a_broker_that_refuses_to_answer_ends_the_process_at_the_first_look(clock: Clock) -> None:
    process = Process(waiting=TopicAuthorizationFailedError("llmos.jobs"))
    looks(clock, process, 2)
    assert process.said == ["Kafka refuses us what we need: TopicAuthorizationFailedError('llmos.jobs')"]


def test_the_broker_is_asked_only_where_nothing_moves_and_something_is_ours(clock: Clock) -> None:
    process = Process(assigned=0)
    looks(clock, process, 10)
    assert process.asked == 0
    process = Process()
    watchdog = Watchdog(process, process.said.append, stuck_after_s=STUCK_AFTER_S, clock=clock)
    for process.finished in range(10):
        watchdog.look()
    assert process.asked == 0


def test_what_is_finished_while_the_broker_is_asked_counts(clock: Clock) -> None:
    class Busy(Process):
        def lag(self) -> int:
            self.finished += 1
            return super().lag()

    process = Busy()
    looks(clock, process, 20)
    assert process.said == []


@pytest.fixture
def threads() -> Iterator[list[Watchdog]]:
    """Watchdogs to be stopped when the test is over."""
    made: list[Watchdog] = []
    yield made
    for watchdog in made:
        watchdog.stop()
    wait_until(lambda: not running(), "the watchdogs to end")


def running() -> bool:
    return any(thread.name == "watchdog" for thread in threading.enumerate())


def test_a_started_watchdog_looks_by_itself_and_a_look_that_fails_is_not_its_last(
    threads: list[Watchdog], caplog: pytest.LogCaptureFixture
) -> None:
    process, failed = Process(), threading.Event()

    def counts() -> tuple[int, int]:
        if not failed.is_set():
            failed.set()
            raise RuntimeError("set changed size during iteration")
        return 2, 0

    process.counts = counts  # type: ignore[method-assign]
    threads.append(Watchdog(process, process.said.append, stuck_after_s=0.2))
    threads[0].start()
    wait_until(lambda: process.said, "the standstill to be noticed")
    assert "could not look" in caplog.text


def test_a_bound_of_zero_means_never(threads: list[Watchdog]) -> None:
    threads.append(Watchdog(Process(), pytest.fail, stuck_after_s=0))
    threads[0].start()
    assert not running()
