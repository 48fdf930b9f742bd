"""Waits between tries: they double, chance shortens them, and they end."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from pipeline.backoff import JITTER, Backoff, wait_s
from schemas.errors import ConfigurationError, LLMOSError, TransientError


class Clock:
    """A clock that stands still until somebody sleeps."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def unlucky() -> float:
    return 0.0


def waits(backoff: Backoff, clock: Clock) -> list[float]:
    """All waits, each slept through."""
    found = []
    while (wait := backoff.next_s()) is not None:
        found.append(wait)
        clock.sleep(wait)
    return found


def test_each_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    found = [wait_s(failures, first_s=0.5, most_s=10, chance=unlucky) for failures in range(1, 8)]
    assert found == [0.5, 1, 2, 4, 8, 10, 10]


def test_very_many_failures_are_no_trouble() -> None:
    assert wait_s(1_000_000, first_s=0.001, most_s=30, chance=unlucky) == 30


@pytest.mark.parametrize("chance", [lambda: 0.0, lambda: 0.5, lambda: 0.999])
def test_chance_takes_a_share_of_a_wait_and_never_adds_to_it(chance: Callable[[], float]) -> None:
    found = wait_s(3, first_s=1, most_s=30, chance=chance)
    assert 4 * (1 - JITTER) <= found <= 4
    assert found == 4 * (1 - JITTER * chance())


def test_two_processes_that_failed_together_do_not_come_back_together() -> None:
    assert len({wait_s(4, first_s=1, most_s=30) for _ in range(20)}) > 1


def test_the_waits_end_with_the_time_and_the_last_one_ends_exactly_then() -> None:
    clock = Clock()
    found = waits(Backoff(10, first_s=1, most_s=4, clock=clock, chance=unlucky), clock)
    assert found == [1, 2, 4, 3]
    assert clock.now == 60


def test_no_time_is_no_second_try() -> None:
    clock = Clock()
    assert waits(Backoff(0, clock=clock), clock) == []


def test_the_default_waits_grow_to_some_seconds() -> None:
    clock = Clock()
    found = waits(Backoff(60, clock=clock, chance=unlucky), clock)
    assert (found[0], max(found)) == (0.2, 5)
    assert all(before <= after for before, after in pairwise(found[:-1]))


@pytest.mark.parametrize("within_s", [10, 0])
def test_trouble_that_passes_is_waited_out_and_raised_at_the_end(within_s: float) -> None:
    clock, error = Clock(), TransientError("away")
    backoff = Backoff(within_s, first_s=4, most_s=8, clock=clock, chance=unlucky)
    for expected in (4, 6) if within_s else ():
        assert backoff.after(error) == expected
        clock.sleep(expected)
    with pytest.raises(TransientError, match="away"):
        backoff.after(error)


@pytest.mark.parametrize("error", [ConfigurationError("refused"), LLMOSError("whatever")])
def test_what_waiting_does_not_mend_is_raised_at_once(error: LLMOSError) -> None:
    with pytest.raises(type(error)):
        Backoff(60).after(error)
