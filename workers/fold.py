"""From logits of windows to raw scores of texts. Pure numpy, each text on its own, so neighbours cannot matter."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from schemas.bundles import LabelSpec, WindowSpec

Floats = npt.NDArray[np.float64]
FRAME = 2
"""Special tokens of a window."""


def probabilities(logits: npt.NDArray[np.float32], head: Literal["sigmoid", "softmax"]) -> Floats:
    """Probabilities [rows, labels] of logits [rows, labels]."""
    wide = logits.astype(np.float64)
    if head == "sigmoid":
        return 1 / (1 + np.exp(-wide))  # type: ignore[no-any-return]
    shifted = np.exp(wide - wide.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def fold(windows: Floats, lengths: npt.NDArray[np.integer], labels: Sequence[LabelSpec]) -> Floats:
    """One score a label from the windows [windows, labels] of one text: the largest, or the mean weighted by length."""
    if len(windows) == 1:
        return windows[0]
    largest, mean = windows.max(axis=0), np.average(windows, axis=0, weights=lengths - FRAME)
    return np.where([label.fold == "max" for label in labels], largest, mean)


def tokens_covered(lengths: npt.NDArray[np.integer], spec: WindowSpec) -> int:
    """Distinct tokens that the windows of one text hold, counted from the windows themselves."""
    content = lengths.astype(np.int64) - FRAME
    return int(content.sum()) - spec.overlap * (len(content) - 1)
