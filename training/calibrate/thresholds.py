"""The scores from which a text is worth a look, or sure enough to act on."""

from typing import Final

import numpy as np

from workers.fold import Floats

FLAGGED_MIN: Final = 5
"""Texts above a threshold that its precision must be measured on."""
DIGITS: Final = 3


def for_precision(truth: Floats, score: Floats, wanted: float) -> float | None:
    """The lowest threshold from which on at least `wanted` of the flagged texts carry the label.

    `truth` [n] is NaN where unknown. None where no threshold does it on `FLAGGED_MIN` texts or more.
    """
    known = ~np.isnan(truth)
    if not known.any():
        return None
    order = np.argsort(-score[known], kind="stable")
    ordered, positive = score[known][order], truth[known][order]
    precision = np.cumsum(positive) / np.arange(1, len(positive) + 1)
    # Of texts with the same score, all are flagged or none.
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True))
    good = [at for at in last if precision[at] >= wanted and at + 1 >= FLAGGED_MIN]
    return _down(float(ordered[good[-1]])) if good else None


def for_budget(scores: Floats, share: float) -> float:
    """The lowest threshold from which on at most `share` of the texts are flagged, by whichever label; `scores` [texts, labels].

    One for all labels: calibrated scores mean the same.
    """
    largest = np.sort(scores.max(axis=1))[::-1]
    room = int(share * len(largest))
    if room >= len(largest):
        return 0.0
    above = float(largest[room])  # the first text that must not be flagged
    return min(1.0, round(_down(above) + 10**-DIGITS, DIGITS))


def _down(score: float) -> float:
    """Rounded so that the text with this score stays flagged."""
    return float(np.floor(score * 10**DIGITS) / 10**DIGITS)
