"""Calibration and precision-recall of each label, as PNG."""

from pathlib import Path
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from training.table import Table
from workers.fold import Floats

BINS: Final = 10
POINTS_MAX: Final = 400
_SIZE: Final = (6, 4.5)


def draw(folder: Path, table: Table, scores: Floats) -> list[Path]:
    """`calibration.png` and `precision-recall.png`; returns them."""
    calibration, curves = Figure(figsize=_SIZE, layout="constrained"), Figure(figsize=_SIZE, layout="constrained")
    left, right = calibration.add_subplot(), curves.add_subplot()
    left.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for i, name in enumerate(table.names):
        truth = table.column(name)
        known = ~np.isnan(truth)
        if 0 < truth[known].sum() < known.sum():
            left.plot(*reliability(truth[known], scores[known, i]), marker=".", label=name)
            precision, recall, _ = precision_recall_curve(truth[known], scores[known, i])
            step = max(1, len(recall) // POINTS_MAX)
            right.plot(recall[::step], precision[::step], label=name)
    left.set(title="calibration", xlabel="mean score", ylabel="share that carries the label")
    right.set(title="precision and recall", xlabel="recall", ylabel="precision")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.lines[1:] or axes is right:
            axes.legend(fontsize=7)
    files = {folder / "calibration.png": calibration, folder / "precision-recall.png": curves}
    for file, figure in files.items():
        figure.savefig(file, dpi=100)
    return list(files)


def reliability(truth: Floats, score: Floats) -> tuple[list[float], list[float]]:
    """Mean score and share of positives of each bin that holds texts."""
    number = np.minimum((score * BINS).astype(int), BINS - 1)
    bins = [number == b for b in np.unique(number)]
    return [float(score[own].mean()) for own in bins], [float(truth[own].mean()) for own in bins]
