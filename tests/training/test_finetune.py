"""Fine-tuning: what a step sees, a run that is cut and goes on, several processes, teachers, and what a run leaves behind."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from schemas.errors import ConfigurationError
from tests.training.conftest import prepared_toy
from training.finetune import finetune
from training.fit import loop
from training.fit.journal import entries
from training.fit.order import balanced, epoch_order
from training.fit.team import Team
from training.labels import NAMES
from training.lessons import classify
from training.made import WEIGHTS, load_made, load_model
from training.run_file import Run, load_run
from training.teacher import soft_scores
from training.windows import Windows

ALONE = Team(0, 1, torch.device("cpu"))
RUN = Run(
    layers=(0, 1),
    tokens_max=16,
    epochs=1.0,
    rows_per_step=4,
    rare_labels=("threat",),
    rare_repeats=2,
    hidden_rows=4,
    learning_rate=1e-3,
    embedding_learning_rate=5e-4,
    bfloat16=False,
    warmup=0.25,
    seed=5,
)


RUNS = Path(__file__).parents[2] / "training/runs"
RUN_FILES = {"own", "finetune", "teacher", "fast", "further", "strong", "taught"}


def run(tmp_path: Path, base: Path, name: str = "run", **changes: Any) -> dict[str, torch.Tensor]:
    """The weights that a run over the toy's rows ends with."""
    prepared = tmp_path / "prepared"
    if not prepared.exists():
        prepared_toy(prepared)
    more = {key: changes.pop(key) for key in ("start", "teachers") if key in changes}
    finetune(RUN.model_copy(update=changes), prepared, base, tmp_path / name, team=ALONE, **more)
    return load_file(tmp_path / name / WEIGHTS)


def scores(teacher: Path, rows: Windows, base: Path) -> np.ndarray:
    return soft_scores([teacher], rows, "multi_label", base, folder=teacher.parent, team=ALONE)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 1e-6) -> bool:
    return all(torch.allclose(value, b[name], atol=tolerance) for name, value in a.items())


def test_an_epoch_sees_every_row_and_rare_ones_again() -> None:
    repeats = np.where(np.arange(24) < 3, 2.0, 1.0)
    seen = np.concatenate(epoch_order(np.arange(24), repeats, 4, seed=5, epoch=0))
    assert np.bincount(seen, minlength=24).tolist() == [2] * 3 + [1] * 21


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    first, again, later = (np.concatenate(epoch_order(np.arange(24), np.ones(24), 4, 5, epoch)) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)


def test_balance_shows_each_label_as_often_as_the_most_frequent() -> None:
    labels = np.zeros((110, 2), np.float32)
    labels[:100, 0], labels[100:, 1] = 1, 1
    assert balanced(labels, 1, 20)[[0, 109]].tolist() == [1, 10]
    assert balanced(labels, 0.5, 20)[109] == pytest.approx(10**0.5)
    assert balanced(labels, 1, 4)[109] == 4
    assert set(balanced(labels, 0, 20)) == {1}


def test_a_run_that_was_cut_ends_with_the_weights_of_one_that_was_not(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path, base, "whole")
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", -1)  # a checkpoint after every step
    taken = iter(range(3))
    monkeypatch.setattr(loop, "take_step", lambda *given, step=loop.take_step: (next(taken), step(*given))[1])
    with pytest.raises(RuntimeError, match="StopIteration"):
        run(tmp_path, base, "cut")
    monkeypatch.undo()
    assert same(run(tmp_path, base, "cut"), whole)


def test_pieces_of_a_step_add_up_to_the_step(base: Path, tmp_path: Path) -> None:
    whole, pieces = (run(tmp_path, base, f"by-{n}", accumulate=n, dropout=0, layer_drop=0) for n in (1, 2))
    assert same(whole, pieces, 1e-4)


def test_two_processes_learn_what_one_learns(base: Path, tmp_path: Path) -> None:
    alone = run(tmp_path, base, "one", dropout=0)
    (tmp_path / "run.yaml").write_text(RUN.model_copy(update={"dropout": 0}).model_dump_json())  # JSON is YAML too
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training.finetune"]
    places = ["--config", "run.yaml", "--prepared", "prepared", "--base", "base", "--state", "two", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, *torchrun, *places]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    one, two = ([entry["loss"] for entry in entries(tmp_path / name) if "loss" in entry] for name in ("one", "two"))
    assert one == pytest.approx(two, abs=1e-4)
    assert same(alone, load_file(tmp_path / "two" / WEIGHTS), 1e-4)


def test_of_weights_that_do_equally_well_the_later_are_kept(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify.Classification, "validate", lambda _: {"loss": 1.0, "f1": 1.0})
    best = run(tmp_path, base, "best", epochs=2, validate_every=1, stop_after=99, watch="f1")
    assert same(best, run(tmp_path, base, "last", epochs=2))


def test_a_run_without_progress_stops_early_and_keeps_the_best_weights(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, epochs=40, validate_every=1, stop_after=2, learning_rate=0.05, schedule="constant")
    made = load_made(tmp_path / "run")
    assert made
    found = [entry["validation_loss"] for entry in entries(tmp_path / "run") if "validation_loss" in entry]
    assert made.steps < 100
    assert made.figures["loss"] == pytest.approx(min(found), abs=1e-3)


def test_a_student_comes_near_its_teacher(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, "teacher", epochs=3)
    taught = {"teacher_weight": 1, "teachers": [tmp_path / "teacher"]}
    run(tmp_path, base, "student", epochs=20, layers=(0,), dropout=0, **taught)
    ids = [[0, *range(10 * i, 10 * i + 8), 2] for i in range(1, 9)]
    rows = Windows(ids, np.zeros((8, len(NAMES)), np.float32), NAMES)
    teacher, student, again = (scores(tmp_path / name, rows, base) for name in ("teacher", "student", "teacher"))
    assert np.array_equal(teacher, again)
    assert np.abs(teacher - student).mean() < 0.1


def test_a_teacher_of_other_labels_is_refused(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, "teacher")
    rows = Windows([[0, 5, 2]], np.zeros((1, 1), np.float32), ("other",))
    with pytest.raises(ConfigurationError, match="this run learns"):
        scores(tmp_path / "teacher", rows, base)


def test_a_folder_of_another_run_is_not_gone_on_with(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base)
    (tmp_path / "run/made.json").unlink()
    with pytest.raises(ConfigurationError, match="another run"):
        run(tmp_path, base, learning_rate=0.1)


def test_a_finished_run_tells_what_made_it_and_leaves_no_checkpoint(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, layer_drop=0.2, label_smoothing=0.1, schedule="cosine")
    names = {file.name for file in (tmp_path / "run").iterdir()}
    assert names == {
        "run.json",
        "made.json",
        WEIGHTS,
        "config.json",
        "tokenizer.json",
        "log.jsonl",
        "loss.png",
        "learning-rate.png",
        "validation.png",
    }
    model, made = load_model(tmp_path / "run")
    assert (made.run.schedule, made.task, made.rows) == ("cosine", "multi_label", 24)
    assert not model.training


def test_a_run_may_begin_with_the_weights_of_another(base: Path, tmp_path: Path) -> None:
    first = run(tmp_path, base, "first", epochs=2)
    still = dict.fromkeys(("learning_rate", "head_learning_rate", "embedding_learning_rate"), 1e-9)
    second = run(tmp_path, base, "second", start=tmp_path / "first", **still)
    assert same(first, second, 1e-4)


def test_a_run_of_fewer_layers_begins_with_those_of_the_larger_one(base: Path, tmp_path: Path) -> None:
    first = run(tmp_path, base, "first", epochs=2)
    still = dict.fromkeys(("learning_rate", "head_learning_rate", "embedding_learning_rate"), 1e-9)
    second = run(tmp_path, base, "second", start=tmp_path / "first", layers=(1,), **still)
    moved = {name.replace("layer.1.", "layer.0."): weight for name, weight in first.items() if "layer.0." not in name}
    assert same(moved, second, 1e-4)


def test_a_run_cannot_begin_with_layers_that_the_other_lacks(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, "first", layers=(1,))
    with pytest.raises(ConfigurationError, match=r"has no layers \[0\]"):
        run(tmp_path, base, "second", start=tmp_path / "first")


@pytest.mark.parametrize("other", ["layers", "labels"])
def test_a_run_cannot_begin_with_weights_of_another_shape(base: Path, tmp_path: Path, other: str) -> None:
    run(tmp_path, base, "first", layers=(1,) if other == "layers" else (0, 1))
    if other == "labels":
        made = tmp_path / "first" / "made.json"
        made.write_text(made.read_text().replace('"threat"', '"menace"'))
    changes: dict[str, Any] = {"layers": ()} if other == "layers" else {}
    with pytest.raises(ConfigurationError, match="other labels, layers or sizes"):
        run(tmp_path, base, "second", start=tmp_path / "first", **changes)


def test_a_run_that_leaves_nothing_to_learn_from_says_so(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to learn from"):
        run(tmp_path, base, set_repeats={"toy": 0.0}, hidden_rows=0)


def test_a_data_set_comes_as_often_as_the_run_says(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, "once")
    run(tmp_path, base, "thrice", set_repeats={"toy": 3.0})
    once, thrice = (load_made(tmp_path / name) for name in ("once", "thrice"))
    assert once is not None
    assert thrice is not None
    assert thrice.steps > 2 * once.steps


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("run.toml", "epochs = 2\nspeed = 9", "speed"),
        ("run.toml", "epochs = ", "run file"),
        ("run.yaml", "schedule: sine", "schedule"),
        ("run.yaml", "a: [", "run file"),
    ],
)
def test_a_run_file_that_cannot_be_is_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        load_run(tmp_path / name)


@pytest.mark.parametrize(
    "file", sorted(path for path in RUNS.rglob("*.toml") if path.stem in RUN_FILES), ids=lambda file: file.name
)
def test_the_run_files_of_the_repository_can_be_read(file: Path) -> None:
    assert load_run(file).seed >= 1
