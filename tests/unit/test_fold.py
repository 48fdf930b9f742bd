"""Folding: from logits of windows to scores of texts, each text on its own."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preprocess.tokenise import cut_windows
from schemas.bundles import LabelSpec, WindowSpec
from workers.fold import FRAME, fold, fold_all, probabilities, tokens_covered

MAX = LabelSpec(name="threat", description="", fold="max", grade="weak")
CORRECTED = LabelSpec(name="insult", description="", fold="corrected_max", grade="weak")
MEAN = LabelSpec(name="sentiment", description="", fold="mean", grade="weak")


def test_a_label_takes_its_largest_window_or_the_mean_weighted_by_content() -> None:
    windows = np.array([[0.2, 0.2], [0.8, 0.8]])
    folded = fold(windows, np.array([30 + FRAME, 10 + FRAME]), [MAX, MEAN])
    assert folded == pytest.approx([0.8, (30 * 0.2 + 10 * 0.8) / 40])


@pytest.mark.parametrize(
    ("count", "expected"),
    [(2, 2 / 3), (4, 1 / 2), (8, 1 / 3), (9, 1 / 3), (1_000, 1 / 3)],  # the odds of 0.8 are 4 to 1
)
def test_a_corrected_maximum_divides_the_odds_by_the_windows_up_to_a_limit(count: int, expected: float) -> None:
    windows = np.array([[0.8]] + [[0.1]] * (count - 1))
    assert fold(windows, np.full(count, 10), [CORRECTED]) == pytest.approx([expected])


@pytest.mark.parametrize("certain", [0.0, 1.0])
def test_certainty_stays_certain(certain: float) -> None:
    windows = np.array([[certain] * 3, [0.0] * 3])
    assert fold(windows, np.array([10, 10]), [MAX, CORRECTED, MAX]).tolist() == [certain] * 3


def test_a_single_window_is_its_own_score_whatever_the_rule() -> None:
    windows = np.array([[0.25, 0.5, 0.75]])
    assert fold(windows, np.array([5]), [MAX, CORRECTED, MEAN]).tolist() == [0.25, 0.5, 0.75]


def test_one_failed_window_fails_the_text() -> None:
    windows = np.array([[0.2] * 3, [np.nan] * 3])
    assert np.isnan(fold(windows, np.array([10, 10]), [MAX, CORRECTED, MEAN])).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.data())
def test_no_fold_leaves_the_range_of_its_windows(scores: list[float], data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(3, 512), min_size=len(scores), max_size=len(scores)))
    folded = fold(np.array([[score, score] for score in scores]), np.array(lengths), [MAX, MEAN])
    assert (folded >= min(scores) - 1e-12).all()
    assert (folded <= max(scores) + 1e-12).all()
    assert folded[0] == max(scores)


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_probabilities_of_huge_logits_are_finite_and_warn_nobody(head: str) -> None:
    logits = np.array([[3e38, -3e38], [-3e38, 3e38], [-800, -800], [800, 800]], np.float32)
    found = probabilities(logits, head)
    assert np.isfinite(found).all()
    assert found[0].tolist() == [1, 0]
    assert found[1].tolist() == [0, 1]


def test_softmax_adds_up_to_one_and_sigmoid_looks_at_each_label_alone() -> None:
    logits = np.array([[1.0, 2.0, 3.0]], np.float32)
    assert probabilities(logits, "softmax").sum() == pytest.approx(1)
    assert probabilities(logits, "sigmoid")[0].tolist() == [
        float(probabilities(logits[:, [i]], "sigmoid")[0, 0]) for i in range(3)
    ]


@given(st.lists(st.lists(st.integers(3, 128), min_size=1, max_size=4), min_size=1, max_size=12), st.randoms())
def test_texts_are_folded_together_as_each_is_alone(texts: list[list[int]], random: Random) -> None:
    windows = [np.array([[random.random() for _ in range(3)] for _ in lengths]) for lengths in texts]
    labels = [MAX, CORRECTED, MEAN]
    alone = [fold(part, np.array(lengths), labels).tolist() for part, lengths in zip(windows, texts, strict=True)]
    assert fold_all(np.concatenate(windows), texts, labels).tolist() == alone


def test_a_failed_row_stays_failed() -> None:
    logits = np.array([[np.nan, np.nan], [0, 0]], np.float32)
    for head in ("sigmoid", "softmax"):
        assert np.isnan(probabilities(logits, head)).all(axis=1).tolist() == [True, False]


@given(st.integers(1, 2000), st.integers(8, 512), st.data())
def test_the_tokens_covered_are_all_the_tokens_there_are(tokens: int, window: int, data: st.DataObject) -> None:
    spec = WindowSpec(tokens_max=window, overlap=data.draw(st.integers(0, (window - 2) // 2)))
    windows = cut_windows(np.arange(tokens, dtype=np.uint32), spec, 0, 2)
    assert tokens_covered([len(cut) for cut in windows], spec) == tokens
