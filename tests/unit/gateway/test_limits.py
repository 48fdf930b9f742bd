"""Token buckets: a minute's worth at once, then evenly; memory that does not grow; durations as Go writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.limits import Allowance, Limits, go_duration
from tests.support.front import FakeClock


def take(limits: Limits, texts: int = 1, per_minute: int = 60, caller: str = "a") -> float | None:
    """Take texts: None, or when to try again."""
    _, refused = limits.take(caller, texts, per_minute)
    return refused.retry_after_s if refused else None


def test_a_minutes_worth_may_come_at_once_and_no_more() -> None:
    limits = Limits(FakeClock())
    assert [take(limits) for _ in range(61)][:60] == [None] * 60
    assert take(limits) == pytest.approx(1)


def test_who_waits_as_long_as_told_is_let_in() -> None:
    clock = FakeClock()
    limits = Limits(clock)
    take(limits, 60)
    wait_s = take(limits, 7)
    assert wait_s == pytest.approx(7)
    assert wait_s is not None
    clock.seconds += wait_s
    assert take(limits, 7) is None


def test_more_than_a_minutes_worth_is_paid_off_later() -> None:
    clock = FakeClock()
    limits = Limits(clock)
    assert take(limits, 180) is None
    assert take(limits) == pytest.approx(121)
    clock.seconds += 121
    assert take(limits) is None


def test_a_refused_request_costs_nothing() -> None:
    limits = Limits(FakeClock())
    take(limits, 50)
    assert [take(limits, 20) is None, take(limits, 10) is None] == [False, True]


def test_callers_do_not_share() -> None:
    limits = Limits(FakeClock())
    take(limits, 60, caller="a")
    assert take(limits, 60, caller="b") is None


def test_memory_is_bounded_and_the_longest_unseen_goes_first() -> None:
    limits = Limits(FakeClock(), buckets_max=2)
    for caller in ("a", "b", "a", "c"):
        take(limits, 30, caller=caller)
    assert [take(limits, caller=caller) is None for caller in ("a", "b")] == [False, True]


def test_a_limit_that_is_lowered_holds_at_once() -> None:
    limits = Limits(FakeClock())
    take(limits, 1, per_minute=60)
    assert take(limits, 5, per_minute=5) is None
    assert take(limits, 1, per_minute=5) == pytest.approx(12)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 20)), max_size=60))
def test_in_any_minute_no_more_than_two_minutes_worth_gets_through(steps: list[tuple[float, int]]) -> None:
    clock = FakeClock()
    limits, limit, let_in = Limits(clock), 20, []
    for pause_s, texts in steps:
        clock.seconds += pause_s
        if take(limits, texts, limit) is None:
            let_in.append((clock.seconds, texts))
    for began, _ in let_in:
        assert sum(texts for at, texts in let_in if began <= at < began + 60) <= 2 * limit + 1e-3


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0ms"),
        (0.0115, "12ms"),
        (0.9999, "1s"),
        (1, "1s"),
        (1.5, "1.5s"),
        (59.999, "59.999s"),
        (60, "1m0s"),
        (366.25, "6m6.25s"),
    ],
)
def test_a_span_of_time_is_written_as_go_does(seconds: float, written: str) -> None:
    assert go_duration(seconds) == written


def test_the_headers_are_those_of_openai() -> None:
    assert Allowance(60, 59, 1).headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
    }
