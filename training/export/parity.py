"""Is a graph true to PyTorch, and does a text get the same score alone and among others? One that is not is refused."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
import torch

from schemas.errors import BundleError
from training.model import Model
from training.served import Served
from workers.fold import Floats, probabilities

NEIGHBOURS: Final = 20
_EVEN: Final = 0.5
Precision = Literal["fp32", "fp16", "int8"]


class Limits(NamedTuple):
    """Mean and largest change of a probability against PyTorch, and share of decisions at 0.5 that differ.

    `batch` is how far a score may move with the rest of its batch.
    """

    mean: float
    largest: float
    decisions: float
    batch: float


LIMITS: Final[dict[Precision, Limits]] = {
    "fp32": Limits(mean=1e-4, largest=1e-3, decisions=0.001, batch=1e-6),
    "fp16": Limits(mean=0.005, largest=0.1, decisions=0.005, batch=0.002),
    "int8": Limits(mean=0.02, largest=1.0, decisions=0.01, batch=0.0),
}


class Parity(NamedTuple):
    """What was found, over so many texts."""

    mean: float
    largest: float
    decisions_changed: float
    batch: float
    texts: int


def torch_scores(model: Model, windows: Sequence[np.ndarray], head: Literal["sigmoid", "softmax"] = "sigmoid") -> Floats:
    """PyTorch's probabilities [windows, labels], each window alone."""
    rows = []
    with torch.inference_mode():
        for window in windows:
            ids = torch.from_numpy(window.astype(np.int64))[None]
            rows.append(model(ids, torch.ones_like(ids)).numpy())
    return probabilities(np.concatenate(rows), head)


def measure(served: Served, expected: Floats, texts: Sequence[str]) -> Parity:
    """How far the served scores of one-window `texts` are from `expected`, and from themselves in other company."""
    together = served.raw_scores(texts)
    alone = np.concatenate([served.raw_scores([text]) for text in texts])
    some = np.concatenate([served.raw_scores(texts[at : at + NEIGHBOURS]) for at in range(0, len(texts), NEIGHBOURS)])
    change = np.abs(together - expected)
    return Parity(
        mean=float(change.mean()),
        largest=float(change.max()),
        decisions_changed=float(((together > _EVEN) != (expected > _EVEN)).mean()),
        batch=float(max(np.abs(alone - together).max(), np.abs(some - together).max())),
        texts=len(texts),
    )


def check(precision: Precision, found: Parity) -> None:
    """Raises BundleError where `found` is beyond the limits. The decisions on one text may always differ."""
    limits = LIMITS[precision]
    if found.batch > limits.batch:
        raise BundleError(f"{precision}: a score depends on its batch: it moves by {found.batch:.2e}")
    decisions = max(limits.decisions, 1 / found.texts)
    if found.mean > limits.mean or found.largest > limits.largest or found.decisions_changed > decisions:
        raise BundleError(
            f"{precision} strays too far from PyTorch: {found._asdict()}, and the limits are {limits._asdict()}; "
            "train for longer, or export --precision fp32" + (" or --scales token" if precision == "int8" else "")
        )
