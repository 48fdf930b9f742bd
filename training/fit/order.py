"""In which order rows are learned: shuffled, near each other in length within a step, some of them again."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ConfigurationError
from training.fit.team import Rows

SORTED_STEPS: Final = 40
"""Rows are shuffled, then sorted by length within so many steps: little padding, and still a random order."""
Floats = npt.NDArray[np.floating]


def epoch_order(lengths: Rows, repeats: Floats, rows_per_step: int, seed: int, epoch: int) -> list[Rows]:
    """Row numbers of each step of an epoch. A row comes `repeats` times; a fraction is a chance, drawn anew each epoch.

    Raises ConfigurationError where none comes.
    """
    random = np.random.default_rng((seed, epoch))
    times = np.floor(repeats + random.random(len(repeats))).astype(int)
    chosen = np.repeat(np.arange(len(lengths)), times)
    if not len(chosen):
        raise ConfigurationError("nothing to learn from: there are no rows, or set_repeats leaves none")
    random.shuffle(chosen)
    block = rows_per_step * SORTED_STEPS
    blocks = [chosen[start : start + block] for start in range(0, len(chosen), block)]
    by_length = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in blocks])
    steps = np.array_split(by_length, math.ceil(len(by_length) / rows_per_step))
    return [steps[i] for i in random.permutation(len(steps))]


def plain_order(lengths: Rows, rows_per_step: int, seed: int, epoch: int) -> list[Rows]:
    """The same where every row comes once."""
    return epoch_order(lengths, np.ones(len(lengths)), rows_per_step, seed, epoch)


def balanced(labels: Floats, balance: float, repeats_max: float) -> Floats:
    """How often each row [rows] comes, by the rarest label [rows, labels] that it carries.

    A label carried by n rows where the most frequent has m asks for (m / n) ** balance, `repeats_max` at most: 0 changes
    nothing, 1 shows every label equally often. A row that carries none comes once.
    """
    carried = labels == 1
    counts = carried.sum(axis=0).clip(min=1)
    wanted = np.minimum((counts.max() / counts) ** balance, repeats_max)
    times: Floats = np.where(carried, wanted, 1.0).max(axis=1, initial=1.0)
    return times
