"""Requests that wait: when one too many may come again, and what is left of one that has ended."""

import pytest

from pipeline.gateway.asking import RETRY_AFTER_MAX_S, RETRY_AFTER_MIN_S, Asked
from pipeline.gateway.contract import Late, Overloaded, Unavailable
from tests.support.desk import outcome_of
from tests.support.gateway import job, story


class Clock:
    """Seconds, moved by the test."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@story
@pytest.mark.parametrize(("each_takes_s", "expected"), [(0.01, RETRY_AFTER_MIN_S), (8.0, 8.0), (500.0, RETRY_AFTER_MAX_S)])
async def test_one_too_many_may_come_again_when_one_of_those_under_way_is_over(each_takes_s: float, expected: float) -> None:
    clock = Clock()
    asked = Asked(1, clock)
    for number in range(100):
        asking = asked.begin([str(number)], 0)
        clock.s += each_takes_s
        asked.end(asking)
    asked.begin(["a"], 0)
    with pytest.raises(Overloaded) as refused:
        asked.begin(["b"], 0)
    assert refused.value.retry_after_s == pytest.approx(expected, rel=0.01)


@story
async def test_who_ends_first_leaves_the_other_one_waiting() -> None:
    asked = Asked(9)
    first, second = asked.begin(["same", "own"], 3), asked.begin(["same"], 5)
    assert asked.since() == {"same": 3, "own": 3}
    asked.end(first)
    assert asked.since() == {"same": 5}
    asked.resolve([outcome_of(job("same")), outcome_of(job("own"))])
    assert [one.job_id for one in await second.outcomes(1)] == ["same"]
    asked.end(second)
    assert asked.since() == {}


@story
async def test_what_fails_after_the_outcome_came_changes_nothing() -> None:
    asked = Asked(9)
    asking = asked.begin(["a"], 0)
    asked.resolve([outcome_of(job("a"))])
    asking.fail(Unavailable("late trouble"))
    assert len(await asking.outcomes(1)) == 1


@story
async def test_some_that_were_not_published_spoil_the_whole_request() -> None:
    asked = Asked(9)
    asking = asked.begin(["a", "b"], 0)
    asked.confirmed(["a", "stranger"])
    asked.failed(["b", "stranger"], Unavailable("no leader"))
    asked.resolve([outcome_of(job("a"))])
    with pytest.raises(Unavailable, match="no leader"):
        await asking.outcomes(1)


@story
async def test_a_confirmed_job_without_an_outcome_is_late_and_not_unavailable() -> None:
    asked = Asked(9)
    asking = asked.begin(["a"], 0)
    asked.confirmed(["a"])
    with pytest.raises(Late):
        await asking.outcomes(0.01)
    with pytest.raises(Unavailable, match="does not confirm"):
        await asked.begin(["b"], 0).outcomes(0.01)
