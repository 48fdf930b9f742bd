"""Give a bundle's scores a meaning that lasts: of texts with a calibrated score of 0.8, about 8 in 10 carry the label.

    python -m training.calibrate --bundle models/moderation-en-zh --prepared prepared.jsonl

Fits a logistic curve a label on the validation texts (Platt, Probabilistic Outputs for Support Vector Machines, 1999), scored
as a worker scores them, and writes it into the manifest as straight lines between knots.
"""

import argparse
from pathlib import Path
from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from schemas.bundles import Calibration
from training.labels import NAMES
from training.prepare import Table, load_table
from training.served import Served, rewrite_manifest
from workers.fold import Floats

KNOTS: Final = np.linspace(-8, 8, 33)
"""Raw scores, as log odds, between which straight lines are drawn."""
POSITIVES_MIN: Final = 10
"""Fewer positive texts fit no curve: such a label keeps its raw scores."""
DIGITS: Final = 6


def log_odds(probabilities: Floats) -> Floats:
    """Log odds of `probabilities`, kept finite."""
    clipped = np.clip(probabilities, 1e-6, 1 - 1e-6)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def fit(raw: Floats, labels: Floats) -> Calibration:
    """The map for one label from its raw scores [n] and truths [n], NaN where unknown."""
    known = ~np.isnan(labels)
    positives = int((labels[known] == 1).sum())
    if positives < POSITIVES_MIN or positives == known.sum():
        return Calibration()
    curve = LogisticRegression(C=1e6).fit(log_odds(raw[known])[:, None], labels[known])
    slope, shift = max(float(curve.coef_[0, 0]), 1e-3), float(curve.intercept_[0])
    return Calibration(
        raw=(0.0, *_sigmoid(KNOTS), 1.0),
        calibrated=(0.0, *_sigmoid(slope * KNOTS + shift), 1.0),
    )


def _sigmoid(values: Floats) -> tuple[float, ...]:
    return tuple((1 / (1 + np.exp(-values))).round(DIGITS).tolist())


def calibrate_bundle(folder: Path, table: Table) -> None:
    """Rewrite the manifest in `folder` with maps fitted on `table`."""
    raw = Served(folder).raw_scores(table.texts)
    labels = Served(folder).bundle.manifest.labels
    fitted = tuple(
        label.model_copy(update={"calibration": fit(raw[:, i], table.labels[:, NAMES.index(label.name)].astype(np.float64))})
        for i, label in enumerate(labels)
    )
    rewrite_manifest(folder, labels=fitted)


def main() -> None:
    """Calibrate."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    arguments.add_argument("--prepared", type=Path, required=True, help="what training.prepare wrote")
    given = arguments.parse_args()
    calibrate_bundle(given.bundle, load_table(given.prepared).where(split="validation"))


if __name__ == "__main__":
    main()
