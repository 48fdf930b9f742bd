"""From logits of windows to raw scores of texts. Pure numpy, each text on its own, so neighbours cannot matter."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.bundles import LabelSpec, WindowSpec

Floats = npt.NDArray[np.float64]
FRAME = 2
"""Special tokens of a window."""
CORRECTION_MAX = 8
"""Windows that a corrected maximum counts: beyond that one plain attack in a very long text would drown."""


def probabilities(logits: npt.NDArray[np.float32], head: Literal["sigmoid", "softmax"]) -> Floats:
    """Probabilities [rows, labels] of logits [rows, labels]."""
    wide: Floats = logits.astype(np.float64)
    if head == "sigmoid":
        with np.errstate(over="ignore"):  # beyond 709, infinity is as good
            odds: Floats = np.exp(-wide)
        likely: Floats = 1 / (1 + odds)
        return likely
    shifted: Floats = np.exp(wide - wide.max(axis=1, keepdims=True))
    shares: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return shares


def fold_all(windows: Floats, lengths: Sequence[Sequence[int]], labels: Sequence[LabelSpec]) -> Floats:
    """One row of scores a text from the windows [windows, labels] of all, text after text; `lengths` are those of each text's."""
    ends = np.cumsum([len(each) for each in lengths])
    starts = ends - [len(each) for each in lengths]
    scores: Floats = windows[starts]  # which is all there is to it for nearly every text
    for text in np.flatnonzero(ends - starts > 1).tolist():
        scores[text] = fold(windows[starts[text] : ends[text]], np.array(lengths[text]), labels)
    return scores


def fold(windows: Floats, lengths: npt.NDArray[np.integer], labels: Sequence[LabelSpec]) -> Floats:
    """One score a label from the windows [windows, labels] of one text, each label by its own rule."""
    if len(windows) == 1:
        alone: Floats = windows[0]
        return alone
    largest = windows.max(axis=0)
    folded = {
        "max": largest,
        "corrected_max": _divide_odds(largest, min(len(windows), CORRECTION_MAX)),
        "mean": np.average(windows, axis=0, weights=lengths - FRAME),
    }
    return np.array([folded[label.fold][number] for number, label in enumerate(labels)])


def _divide_odds(scores: Floats, by: int) -> Floats:
    """The probabilities whose odds p / (1 - p) are those of `scores` divided by `by`."""
    divided: Floats = scores / (scores + by * (1 - scores))
    return divided


def tokens_covered(lengths: Sequence[int], spec: WindowSpec) -> int:
    """Distinct tokens that the windows of one text hold, counted from the windows themselves."""
    return sum(lengths) - FRAME * len(lengths) - spec.overlap * (len(lengths) - 1)
