"""Fine-tuning: the schedule, the masked loss, and a run that is cut and goes on."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from training import finetune
from training.finetune import Run, epoch_order, schedule, train
from training.labels import NAMES
from training.model import masked_loss
from training.prepare import Table

RUN = Run(
    layers=(0, 1),
    tokens_max=16,
    epochs=1.0,
    rows_per_step=4,
    rare_repeats=2,
    hidden_rows=4,
    learning_rate=1e-3,
    embedding_learning_rate=5e-4,
    bfloat16=False,
    warmup=0.25,
    weight_decay=0.01,
    seed=5,
)


def table(rows: int = 24) -> Table:
    random = np.random.default_rng(2)
    texts = [" ".join(f"w{number}" for number in random.integers(0, 200, random.integers(3, 12))) for _ in range(rows)]
    labels = np.full((rows, len(NAMES)), np.nan, np.float32)
    labels[:, 0] = random.integers(0, 2, rows)
    labels[:3, NAMES.index("threat")] = 1
    return Table(texts, labels, ["train"] * rows, ["toy"] * rows)


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_line_to_zero() -> None:
    share = schedule(RUN, 100)
    assert [share(step) for step in (0, 12, 24, 25, 50, 99, 100)] == pytest.approx([1 / 25, 13 / 25, 1, 1, 50 / 75, 1 / 75, 0])


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    masked_loss(logits, torch.tensor([[1.0, math.nan], [math.nan, 0.0]]), torch.ones(2)).backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False], [False, True]]


def test_an_epoch_sees_every_text_and_rare_ones_again() -> None:
    texts = table()
    seen = np.concatenate(epoch_order(texts.labels, np.arange(len(texts.texts)), RUN, 0))
    counts = np.bincount(seen, minlength=len(texts.texts))
    assert counts[:3].tolist() == [2, 2, 2]
    assert set(counts[3:]) == {1}


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    texts, lengths = table(), np.arange(24)
    first, again, next_ = (np.concatenate(epoch_order(texts.labels, lengths, RUN, epoch)) for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, next_)


def test_a_run_that_was_cut_ends_with_the_weights_of_one_that_was_not(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune, "CHECKPOINT_EVERY_S", -1)  # a checkpoint after every step
    list(train(RUN, table(), base, tmp_path / "whole"))
    steps = train(RUN, table(), base, tmp_path / "cut")
    next(steps)
    next(steps)
    steps.close()
    list(train(RUN, table(), base, tmp_path / "cut"))
    whole, cut = (torch.load(tmp_path / name / finetune.CHECKPOINT, weights_only=True) for name in ("whole", "cut"))
    assert whole["step"] == cut["step"]
    assert all(torch.allclose(value, cut["model"][name], atol=1e-6) for name, value in whole["model"].items())
