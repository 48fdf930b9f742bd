"""Whose word counts where a teacher and the labels disagree."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.test_finetune import run, same
from training.teacher import corrected
from training.windows import Windows

UNKNOWN = np.nan


def test_the_known_labels_of_trusted_sets_stand_and_the_teacher_judges_the_rest() -> None:
    labels = np.array([[1, UNKNOWN], [0, 1], [0, 0], [UNKNOWN, 1]], np.float32)
    rows = Windows([[0, 5, 2]] * 4, labels, ("bad", "worse"), ["mine", "mine", "theirs", ""])
    scores = np.full((4, 2), 0.25, np.float32)
    assert corrected(scores, rows, ("mine", "absent")).tolist() == [[1, 0.25], [0, 1], [0.25, 0.25], [0.25, 0.25]]
    assert np.array_equal(corrected(scores, rows, ()), scores)


def test_a_run_learns_so_and_says_which_sets_are_not_there(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, base, "teacher")
    taught: dict[str, Any] = {"teachers": [tmp_path / "teacher"], "teacher_weight": 1, "dropout": 0}
    plain = run(tmp_path, base, "plain", **taught)
    assert same(plain, run(tmp_path, base, "absent", trusted_sets=("absent",), **taught))
    assert "note: the data has no set absent, which" in capsys.readouterr().err
    assert not same(plain, run(tmp_path, base, "trusted", trusted_sets=("toy",), **taught))
    assert "note" not in capsys.readouterr().err
