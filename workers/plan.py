"""Which windows run together: near each other in length, at most a budget of tokens, padding included. Pure."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BUCKETS: Final = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Lengths that windows are padded to: few shapes keep memory flat."""

Rows = npt.NDArray[np.intp]


def bucket(length: int) -> int:
    """The padded length of a window of `length` tokens; beyond the largest bucket, its own."""
    return next((size for size in BUCKETS if length <= size), length)


def plan(lengths: Sequence[int] | npt.NDArray[np.integer], tokens_max: int) -> Iterator[Rows]:
    """Row numbers of each run: shortest first, rows times padded length at most `tokens_max`, or one row alone."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    for end in range(1, len(order) + 1):
        full = end < len(order) and (end - start + 1) * bucket(int(lengths[order[end]])) > tokens_max
        if full or end == len(order):
            yield order[start:end]
            start = end
