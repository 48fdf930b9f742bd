"""Which windows run together, at most a budget of tokens in one run, padding included. Pure.

A run costs what `RUN_TOKENS` tokens cost before it computes anything, so windows of nearly one length are better off together.
But where padding changes the order of a sum, and so the last bits of a score, each is padded to its own bucket in any company.
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
RUN_TOKENS: Final = 10
"""What each run costs besides its tokens, in tokens: measured with the built-in model in int8 on one core."""


def padded(lengths: Lengths, buckets: Sequence[int] = BUCKETS) -> npt.NDArray[np.int64]:
    """The padded lengths of windows of `lengths` tokens; beyond the largest bucket, their own."""
    wanted = np.asarray(lengths, np.int64)
    sizes = np.array(buckets, np.int64)
    return np.maximum(sizes[np.searchsorted(sizes[:-1], wanted)], wanted)


def plan(lengths: Lengths, tokens_max: int, buckets: Sequence[int] = BUCKETS, *, mixed: bool = False) -> Iterator[Rows]:
    """Row numbers of each run, shortest first: rows times longest at most `tokens_max`, or one row alone.

    A run holds windows of one padded length, or, `mixed`, those that cost least together.
    """
    sizes = padded(lengths, buckets)
    order = np.argsort(sizes, kind="stable")
    if mixed and len(order):
        yield from np.split(order, _cheapest_cuts(sizes[order], tokens_max))
        return
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        rows_max = max(1, tokens_max // int(sizes[same[0]])) if len(same) else 1
        yield from (same[start : start + rows_max] for start in range(0, len(same), rows_max))


def _cheapest_cuts(sizes: npt.NDArray[np.int64], tokens_max: int) -> list[int]:
    """Where to cut ascending `sizes` so that all runs cost least: the best way to each row by the best ways to those before."""
    cost = np.zeros(len(sizes) + 1)
    begins = [0] * (len(sizes) + 1)
    for end, longest in enumerate(sizes.tolist(), 1):
        first = max(0, end - max(1, tokens_max // longest))
        costs = cost[first:end] + longest * np.arange(end - first, 0, -1)
        best = int(costs.argmin())
        cost[end], begins[end] = costs[best] + RUN_TOKENS, first + best
    cuts = []
    end = begins[len(sizes)]
    while end:
        cuts.append(end)
        end = begins[end]
    return cuts[::-1]
