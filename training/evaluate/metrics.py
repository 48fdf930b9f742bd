"""Figures of one label: truths [n], NaN where unknown, against calibrated scores [n]."""

from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from workers.fold import Floats

DECISION: Final = 0.5
DIGITS: Final = 4
Chosen = npt.NDArray[np.bool_]
Quality = dict[str, float | int | None]


def accuracy(truth: Floats, score: Floats) -> float:
    """Share of right decisions at 0.5."""
    return float(accuracy_score(truth, score >= DECISION))


def macro_f1(truth: Floats, score: Floats) -> float:
    """Mean of the F1 of both classes at 0.5."""
    return float(f1_score(truth, score >= DECISION, average="macro", zero_division=0))


def one_of_several(truth: Chosen, scores: Floats) -> dict[str, float]:
    """How often the highest of a text's scores [n, labels] is that of its one label, marked in `truth` [n, labels]."""
    right, found = truth.argmax(axis=1), scores.argmax(axis=1)
    return {
        "accuracy of the highest score": round(float(accuracy_score(right, found)), DIGITS),
        "macro-F1 of the highest score": round(float(f1_score(right, found, average="macro", zero_division=0)), DIGITS),
    }


def auroc(truth: Floats, score: Floats) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(truth, score))


def auprc(truth: Floats, score: Floats) -> float:
    """Area under the precision-recall curve, as average precision."""
    return float(average_precision_score(truth, score))


def calibration_error(truth: Floats, score: Floats, bins: int = 15) -> float:
    """Expected calibration error: mean distance of score and share of positives over bins of equal width (Guo et al., 2017)."""
    number = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [abs(truth[number == b].mean() - score[number == b].mean()) * (number == b).mean() for b in np.unique(number)]
    return float(np.sum(gaps))


def quality(truth: Floats, score: Floats) -> Quality:
    """All of them, over the texts that know the label; areas are None where only one kind of text is there."""
    known = ~np.isnan(truth)
    truth, score = truth[known], score[known]
    counts: Quality = {"texts": len(truth), "positive": int(truth.sum())}
    if not len(truth):
        return counts
    both = 0 < truth.sum() < len(truth)
    return counts | {
        "auroc": round(auroc(truth, score), DIGITS) if both else None,
        "auprc": round(auprc(truth, score), DIGITS) if both else None,
        "f1": round(float(f1_score(truth, score >= DECISION, zero_division=0)), DIGITS),
        "accuracy": round(accuracy(truth, score), DIGITS),
        "calibration_error": round(calibration_error(truth, score), DIGITS),
    }
