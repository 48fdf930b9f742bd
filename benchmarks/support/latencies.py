"""Open-loop load: when jobs are due, and what their latencies are, none left out because the system was slow."""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Final

SHARES: Final = (0.5, 0.9, 0.99, 0.999)


def schedule(rate: float, count: int, seed: int) -> list[float]:
    """Seconds after the start at which `count` jobs are due: a Poisson process, as independent senders make it."""
    drawn, at, due = random.Random(seed), 0.0, []
    for _ in range(count):
        at += drawn.expovariate(rate)
        due.append(at)
    return due


def latencies(due: Sequence[float], arrived: Mapping[int, float], ended: float) -> list[float]:
    """Seconds from the moment each job was due to its result; one without a result has waited until `ended` at least.

    Counted from the moment that a job was due, not from when it was sent: a sender that is held up by the system under test
    would otherwise leave out just the jobs that had to wait (coordinated omission).
    """
    return [arrived.get(number, ended) - moment for number, moment in enumerate(due)]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of all (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary_ms(seconds: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds by name, such as p50 and p99.9."""
    return {f"p{share * 100:g}": round(percentile(seconds, share) * 1000, 1) for share in SHARES}
