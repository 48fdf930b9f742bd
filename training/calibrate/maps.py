"""The monotone map of one label, from raw scores to shares, as straight lines between knots."""

from typing import Final, Literal

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from schemas.bundles import Calibration
from workers.fold import Floats

KNOTS: Final = np.linspace(-8, 8, 33)
"""Raw scores, as log odds, between which straight lines are drawn."""
POSITIVES_MIN: Final = 10
"""Fewer positive texts fit no curve: such a label keeps its raw scores."""
ISOTONIC_POSITIVES_MIN: Final = 100
"""Fewer fit no free-form map: it would follow single texts."""
ISOTONIC_KNOTS: Final = 40
DIGITS: Final = 6
Method = Literal["platt", "isotonic"]


def fit(raw: Floats, labels: Floats, method: Method = "platt") -> Calibration:
    """The map for one label from its raw scores [n] and truths [n], NaN where unknown; no change where there are too few."""
    known = ~np.isnan(labels)
    raw, labels = raw[known], labels[known]
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives < POSITIVES_MIN or not negatives:
        return Calibration()
    if method == "isotonic" and min(positives, negatives) >= ISOTONIC_POSITIVES_MIN:
        return _isotonic(raw, labels)
    return _platt(raw, labels)


def log_odds(probabilities: Floats) -> Floats:
    """Log odds of `probabilities`, kept finite."""
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def _platt(raw: Floats, labels: Floats) -> Calibration:
    """A logistic curve over log odds (Platt, Probabilistic Outputs for Support Vector Machines, 1999)."""
    curve = LogisticRegression(C=1e6).fit(log_odds(raw)[:, None], labels)
    slope, shift = max(float(curve.coef_[0, 0]), 1e-3), float(curve.intercept_[0])
    return Calibration(
        raw=(0.0, *_sigmoid(KNOTS), 1.0),
        calibrated=(0.0, *_sigmoid(slope * KNOTS + shift), 1.0),
    )


def _isotonic(raw: Floats, labels: Floats) -> Calibration:
    """The best map that never falls (Zadrozny and Elkan, 2002), read off at some quantiles so that single texts weigh little."""
    best = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw, labels)
    knots = np.unique(np.quantile(raw, np.linspace(0, 1, ISOTONIC_KNOTS)).round(DIGITS))
    knots = knots[(knots > 0) & (knots < 1)]
    values = np.maximum.accumulate(best.predict(knots)).round(DIGITS)
    return Calibration(raw=(0.0, *knots.tolist(), 1.0), calibrated=(0.0, *values.tolist(), 1.0))


def _sigmoid(values: Floats) -> tuple[float, ...]:
    return tuple((1 / (1 + np.exp(-values))).round(DIGITS).tolist())
