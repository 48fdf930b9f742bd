"""Which windows run together: those of one padded length, at most a budget of tokens, padding included. Pure.

A window is always padded to its own bucket, whoever else is there: sums over a row take the same steps in the same order, so
its logits are the same bit for bit in any company.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.intp]
Lengths = Sequence[int] | npt.NDArray[np.integer]

BUCKETS: Final = (*range(4, 65), *range(66, 129, 2), *range(144, 257, 16), *range(288, 513, 32))
"""Lengths that windows are padded to on a CPU, where short runs are as fast as long ones: next to nothing is padding."""
GPU_BUCKETS: Final = (*range(16, 129, 16), *range(160, 257, 32), *range(320, 513, 64))
"""On a GPU, which wants many rows in a run."""


def padded(lengths: Lengths, buckets: Sequence[int] = BUCKETS) -> npt.NDArray[np.int64]:
    """The padded lengths of windows of `lengths` tokens; beyond the largest bucket, their own."""
    wanted = np.asarray(lengths, np.int64)
    sizes = np.array(buckets, np.int64)
    return np.maximum(sizes[np.searchsorted(sizes[:-1], wanted)], wanted)


def plan(lengths: Lengths, tokens_max: int, buckets: Sequence[int] = BUCKETS) -> Iterator[Rows]:
    """Row numbers of each run, shortest first: one padded length, rows times it at most `tokens_max`, or one row alone."""
    sizes = padded(lengths, buckets)
    order = np.argsort(sizes, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        rows_max = max(1, tokens_max // int(sizes[same[0]])) if len(same) else 1
        yield from (same[start : start + rows_max] for start in range(0, len(same), rows_max))
