"""What the latency benchmark computes: due times, latencies without coordinated omission, percentiles."""

from itertools import pairwise

import pytest

from benchmarks.support.latencies import latencies, percentile, schedule, summary_ms


def test_jobs_are_due_at_the_asked_rate_and_the_same_seed_gives_the_same_times() -> None:
    due = schedule(rate=50, count=20_000, seed=3)
    assert due == sorted(due) == schedule(rate=50, count=20_000, seed=3)
    assert due != schedule(rate=50, count=20_000, seed=4)
    assert due[-1] == pytest.approx(20_000 / 50, rel=0.05)


def test_arrivals_are_random_as_those_of_independent_senders() -> None:
    due = schedule(rate=10, count=20_000, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.05)


def test_a_job_that_was_sent_late_has_waited_since_it_was_due() -> None:
    # A standstill of 10 s: three jobs due in it are sent and answered when it is over.
    due, arrived = [0.0, 1.0, 5.0, 9.0], {0: 0.1, 1: 10.0, 2: 10.0, 3: 10.0}
    assert latencies(due, arrived, ended=10.0) == pytest.approx([0.1, 9.0, 5.0, 1.0])


def test_a_job_without_a_result_has_waited_until_the_end() -> None:
    assert latencies([0.0, 2.0], {0: 0.5}, ended=60.0) == [0.5, 58.0]


@pytest.mark.parametrize(
    ("share", "value"),
    [(0.5, 50), (0.9, 90), (0.99, 99), (0.999, 100), (1.0, 100), (0.0, 1)],
)
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_one_slow_job_in_a_hundred_shows_beyond_the_99th_percentile_only() -> None:
    assert summary_ms([0.01] * 99 + [1.0]) == {"p50": 10.0, "p90": 10.0, "p99": 10.0, "p99.9": 1000.0}
