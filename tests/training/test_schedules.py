"""Schedules follow their formulas, step by step, and can be looked at."""

import math
from pathlib import Path

import pytest

from training.fit.curves import draw, draw_schedules
from training.fit.journal import Journal, entries
from training.fit.schedules import FALLS, Name, schedule

STEPS, RISE = 100, 25


def formula(name: Name, progress: float) -> float:
    """What the docstring of the module says, written anew."""
    return {
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "cosine_restarts": 0.5 * (1 + math.cos(math.pi * math.fmod(3 * progress, 1))),
        "constant": 1.0,
    }[name]


@pytest.mark.parametrize("name", FALLS)
def test_the_rate_rises_in_a_line_and_falls_by_its_formula(name: Name) -> None:
    share = schedule(name, STEPS, RISE / STEPS, cycles=3)
    assert [share(step) for step in range(RISE)] == pytest.approx([(step + 1) / RISE for step in range(RISE)])
    rest = range(RISE, STEPS)
    assert [share(step) for step in rest] == pytest.approx([formula(name, (step - RISE) / (STEPS - RISE)) for step in rest])


@pytest.mark.parametrize(("name", "last"), [("linear", 0), ("cosine", 0), ("cosine_restarts", 0), ("constant", 1)])
def test_what_falls_ends_at_zero(name: Name, last: float) -> None:
    assert schedule(name, STEPS, 0.1)(STEPS) == pytest.approx(last)


def test_restarts_return_to_the_peak_at_the_beginning_of_each_cycle() -> None:
    share = schedule("cosine_restarts", 301, 0, cycles=3)
    assert [share(step) for step in (1, 101, 201)] == pytest.approx([1, 1, 1])
    assert max(share(step) for step in (100, 200)) < 0.001


def test_a_run_of_one_step_has_a_rate() -> None:
    assert schedule("linear", 1, 0.06)(0) == 1


def test_schedules_and_logs_become_figures(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in range(1, 4):
        journal.write(step=step, loss=1 / step, learning_rate=1e-3)
    journal.write(step=3, validation_loss=0.5, auroc=0.7)
    figures = [draw_schedules(tmp_path / "schedules.png"), *draw(tmp_path)]
    assert [file.name for file in figures] == ["schedules.png", "loss.png", "learning-rate.png", "validation.png"]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in figures)


def test_a_run_that_goes_on_forgets_what_was_logged_after_its_checkpoint(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 0)
    for step in (10, 20, 30):
        journal.write(step=step, loss=1.0)
    Journal(tmp_path, 20).write(step=30, loss=2.0)
    assert [entry["loss"] for entry in entries(tmp_path)] == [1, 1, 2]
