"""Planning: every window runs once, in runs of one padded length that keep to the budget."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.plan import BUCKETS, GPU_BUCKETS, RUN_TOKENS, padded, plan

LENGTHS = st.lists(st.integers(1, 600), max_size=80)
BUDGETS = st.integers(1, 4096)


@given(LENGTHS, BUDGETS)
def test_every_row_runs_exactly_once(lengths: list[int], tokens_max: int) -> None:
    planned = [int(row) for rows in plan(lengths, tokens_max) for row in rows]
    assert sorted(planned) == list(range(len(lengths)))


@given(LENGTHS, BUDGETS)
def test_a_run_keeps_to_the_budget_with_its_padding_or_is_one_row_alone(lengths: list[int], tokens_max: int) -> None:
    for rows in plan(lengths, tokens_max):
        longest = max(padded(lengths)[rows])
        assert len(rows) == 1 or len(rows) * longest <= tokens_max


@given(LENGTHS, BUDGETS)
def test_a_window_is_padded_to_its_own_bucket_in_any_company(lengths: list[int], tokens_max: int) -> None:
    assert all(len(set(padded(lengths)[rows])) == 1 for rows in plan(lengths, tokens_max))


@given(LENGTHS, BUDGETS)
def test_runs_go_from_short_to_long(lengths: list[int], tokens_max: int) -> None:
    sizes = [padded(lengths)[rows[0]] for rows in plan(lengths, tokens_max)]
    assert all(before <= after for before, after in pairwise(sizes))


def cost(lengths: Sequence[int], runs: Iterable[np.ndarray]) -> int:
    """Of `runs`, in tokens."""
    return sum(RUN_TOKENS + len(rows) * int(padded(lengths)[rows].max()) for rows in runs)


def cheapest(sizes: Sequence[int], tokens_max: int) -> int:
    """The same by trying every way to cut `sizes`, which ascend."""
    if not sizes:
        return 0
    counts = [count for count in range(1, len(sizes) + 1) if count == 1 or count * sizes[-1] <= tokens_max]
    return min(RUN_TOKENS + count * sizes[-1] + cheapest(sizes[:-count], tokens_max) for count in counts)


@given(LENGTHS, BUDGETS)
def test_mixed_runs_hold_every_row_once_and_keep_to_the_budget(lengths: list[int], tokens_max: int) -> None:
    runs = [*plan(lengths, tokens_max, mixed=True)]
    assert sorted(int(row) for rows in runs for row in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(padded(lengths)[rows]) <= tokens_max for rows in runs)
    assert cost(lengths, runs) <= cost(lengths, plan(lengths, tokens_max))


@given(st.lists(st.integers(4, 60), max_size=9), st.integers(1, 200))
def test_no_other_mixed_runs_cost_less(lengths: list[int], tokens_max: int) -> None:
    assert cost(lengths, plan(lengths, tokens_max, mixed=True)) == cheapest(sorted(padded(lengths).tolist()), tokens_max)


def test_windows_of_nearly_one_length_run_together() -> None:
    assert [sorted(rows.tolist()) for rows in plan([20, 90, 22, 21], 512, mixed=True)] == [[0, 2, 3], [1]]


def test_a_run_is_as_full_as_the_budget_lets_it_be() -> None:
    assert [len(rows) for rows in plan([16] * 10, 64)] == [4, 4, 2]


def test_lengths_may_come_as_an_array() -> None:
    (rows,) = plan(np.array([3, 1, 2], np.uint16), 1024)
    assert sorted(rows.tolist()) == [0, 1, 2]


@pytest.mark.parametrize(
    ("buckets", "length", "expected"),
    [
        *[(BUCKETS, *pair) for pair in [(1, 4), (16, 16), (17, 17), (65, 66), (129, 144), (512, 512), (513, 513)]],
        *[(GPU_BUCKETS, *pair) for pair in [(1, 16), (16, 16), (17, 32), (129, 160), (600, 600)]],
    ],  # beyond the largest bucket, its own
)
def test_a_window_is_padded_to_the_next_bucket(buckets: tuple[int, ...], length: int, expected: int) -> None:
    assert padded([length], buckets).tolist() == [expected]
    (rows,) = plan([length, length], 2 * expected, buckets)
    assert len(rows) == 2


@pytest.mark.parametrize("buckets", [BUCKETS, GPU_BUCKETS])
def test_buckets_rise(buckets: tuple[int, ...]) -> None:
    assert list(buckets) == sorted(set(buckets))
