"""Which windows run together: those of one padded length, at most a budget of tokens, padding included. Pure.

A window is always padded to its own bucket, whoever else is there: sums over a row take the same steps in the same order, so
its logits are the same bit for bit in any company.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

BUCKETS: Final = (*range(8, 33, 2), *range(36, 65, 4), *range(72, 129, 8), *range(144, 257, 16), *range(288, 513, 32))
"""Lengths that windows are padded to: close ones waste little, 3 % of all tokens where texts have the lengths of comments."""

Rows = npt.NDArray[np.intp]


def bucket(length: int) -> int:
    """The padded length of a window of `length` tokens; beyond the largest bucket, its own."""
    return next((size for size in BUCKETS if length <= size), length)


def plan(lengths: Sequence[int] | npt.NDArray[np.integer], tokens_max: int) -> Iterator[Rows]:
    """Row numbers of each run, shortest first: one padded length, rows times it at most `tokens_max`, or one row alone."""
    padded = np.array([bucket(int(length)) for length in lengths], np.int64)
    order = np.argsort(padded, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(padded[order])) + 1):
        rows_max = max(1, tokens_max // int(padded[same[0]])) if len(same) else 1
        yield from (same[start : start + rows_max] for start in range(0, len(same), rows_max))
