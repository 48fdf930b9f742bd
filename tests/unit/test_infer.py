"""Inference: a bad row costs itself alone, memory trouble costs the budget, device trouble and bugs are loud."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import TransientError
from tests.support.exposition import sample
from workers.infer import BUDGET_MIN, RECOVERY_RUNS, Inference

POISON = 13
SHAPES = list[tuple[int, int]]


def echo(ids: Any, mask: Any) -> Any:
    """Two logits a row: its first token, and how many tokens it has."""
    return np.stack([ids[:, 0], mask.sum(axis=1)], axis=1).astype(np.float32)


def inference(run: Callable[[Any, Any], Any], tokens_max: int = 1024, at_once: int = 1) -> Inference:
    return Inference(run, labels=2, pad_id=1, tokens_max=tokens_max, model="toy", at_once=at_once)


def windows(tokens: Sequence[int], length: int = 16) -> list[Any]:
    return [np.full(length, token, np.uint16) for token in tokens]


def failing(error: Exception, when: Callable[[Any], bool]) -> tuple[Callable[[Any, Any], Any], SHAPES]:
    """A model that raises `error` for such ids, and the shapes that it was asked to run."""
    shapes: SHAPES = []

    def run(ids: Any, mask: Any) -> Any:
        shapes.append(ids.shape)
        if when(ids):
            raise error
        return echo(ids, mask)

    return run, shapes


@given(st.lists(st.tuples(st.integers(2, 99), st.integers(1, 90)), min_size=1, max_size=40), st.integers(1, 4))
def test_logits_come_back_in_the_order_of_the_windows(rows: list[tuple[int, int]], at_once: int) -> None:
    given_windows = [np.full(length, token, np.uint16) for token, length in rows]
    assert inference(echo, tokens_max=64, at_once=at_once).logits(given_windows).tolist() == [
        [token, length] for token, length in rows
    ]


def test_so_many_runs_go_side_by_side_whoever_asks() -> None:
    meeting = Barrier(3)

    def run(ids: Any, mask: Any) -> Any:
        meeting.wait(30)  # breaks where fewer come at a time
        return echo(ids, mask)

    found = inference(run, tokens_max=16, at_once=3)
    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(found.logits, [windows([2, 3]), windows([4, 5, 6, 7])])
    assert (first[:, 0].tolist(), second[:, 0].tolist()) == ([2, 3], [4, 5, 6, 7])
    assert found.runs == 6


def test_padding_is_masked_and_holds_the_pad_id() -> None:
    seen: list[Any] = []
    inference(lambda ids, mask: (seen.append((ids, mask)), echo(ids, mask))[1]).logits(windows([7], length=65))
    ((ids, mask),) = seen
    assert ids.tolist() == [[7] * 65 + [1]]
    assert mask.tolist() == [[1] * 65 + [0]]
    assert ids.dtype == mask.dtype == np.int64


@given(st.lists(st.sampled_from([2, 3, POISON]), min_size=1, max_size=40))
def test_a_failing_row_costs_only_itself(tokens: list[int]) -> None:
    run, _ = failing(RuntimeError("bad row"), lambda ids: bool((ids == POISON).any()))
    found = inference(run).logits(windows(tokens))
    assert np.isnan(found).all(axis=1).tolist() == [token == POISON for token in tokens]
    assert found[np.isfinite(found[:, 0]), 0].tolist() == [token for token in tokens if token != POISON]


def test_a_failing_row_is_found_by_halving() -> None:
    run, shapes = failing(RuntimeError("bad row"), lambda ids: bool((ids == POISON).any()))
    inference(run).logits(windows([POISON] + [2] * 31))
    assert [rows for rows, _ in shapes] == [32, 16, 8, 4, 2, 1, 1, 2, 4, 8, 16]


def test_a_row_without_a_number_is_a_failed_row() -> None:
    def run(ids: Any, mask: Any) -> Any:
        logits = echo(ids, mask)
        logits[ids[:, 0] == POISON, 1] = np.inf
        return logits

    found = inference(run).logits(windows([2, POISON, 3]))
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("Failed to allocate memory for requested buffer of size 4096"),
        RuntimeError("CUDA failure 2: out of memory"),  # also a sign of the device, but memory comes first
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_halves_the_budget_and_loses_no_row(error: Exception) -> None:
    run, shapes = failing(error, lambda ids: ids.size > 256)
    model = inference(run)
    assert model.logits(windows([2] * 64))[:, 0].tolist() == [2] * 64
    assert model.budget == 256
    shapes.clear()
    model.logits(windows([2] * 64))
    assert [rows for rows, _ in shapes] == [16, 16, 16, 16]


def test_runs_that_were_planned_before_memory_ran_out_do_not_lower_the_budget_again() -> None:
    run, _ = failing(MemoryError(), lambda ids: ids.size > 512)
    model = inference(run)
    model.logits(windows([2] * 64 * 5))
    assert model.budget == 512


def test_the_budget_has_a_floor() -> None:
    run, _ = failing(MemoryError(), lambda ids: len(ids) > 1)
    model = inference(run)
    model.logits(windows([2] * 64))
    assert model.budget == BUDGET_MIN


def test_the_budget_recovers_slowly_and_not_beyond_what_was_set() -> None:
    model = inference(echo)
    model.budget = 512
    budgets = []
    for _ in range(5 * RECOVERY_RUNS):
        model.logits(windows([2]))
        budgets.append(model.budget)
    assert budgets[RECOVERY_RUNS - 2] == 512
    assert budgets[RECOVERY_RUNS - 1 :: RECOVERY_RUNS] == [640, 800, 1000, 1024, 1024]


def test_trouble_starts_the_count_of_good_runs_anew() -> None:
    trouble = [False]
    run, _ = failing(MemoryError(), lambda ids: trouble[0] and len(ids) > 1)
    model = inference(run)
    model.budget = 512
    for _ in range(RECOVERY_RUNS - 1):
        model.logits(windows([2]))
    trouble[0] = True
    model.logits(windows([2, 2]))  # fails, then two good runs of one row
    trouble[0] = False
    model.logits(windows([2]))
    assert model.budget == BUDGET_MIN


def test_no_memory_for_a_single_window_is_the_machines_trouble_and_fails_no_text() -> None:
    run, _ = failing(MemoryError("out of memory"), lambda _: True)
    with pytest.raises(TransientError, match="out of memory for a single window"):
        inference(run).logits(windows([2]))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA failure 700: an illegal memory access was encountered"),
        RuntimeError("CUDNN failure 4"),
        RuntimeError("device-side assert triggered"),
        TransientError("gone"),
    ],
)
def test_a_lost_device_fails_no_text_but_the_process(error: Exception) -> None:
    run, shapes = failing(error, lambda _: True)
    with pytest.raises(TransientError, match="the device is lost"):
        inference(run).logits(windows([2] * 8))
    assert len(shapes) == 1, "there is no use in halving"


@pytest.mark.parametrize("shape", [(3, 2), (4, 3), (4,), (4, 1)])
def test_a_wrong_shape_is_our_bug_and_loud(shape: tuple[int, ...]) -> None:
    with pytest.raises(AssertionError, match="one row of logits a row of ids"):
        inference(lambda *_: np.zeros(shape, np.float32)).logits(windows([2] * 4))


def test_no_windows_are_no_logits() -> None:
    assert inference(echo).logits([]).shape == (0, 2)


def test_rows_and_tokens_are_counted_as_the_model_gets_them() -> None:
    names = [f"llmos_batch_{name}_total" for name in ("rows", "tokens", "padded_tokens")]
    before = [sample(name, model="toy") for name in names]
    inference(echo).logits([*windows([2, 3], 16), *windows([4], 65)])
    assert [sample(name, model="toy") - was for name, was in zip(names, before, strict=True)] == [3, 97, 98]
