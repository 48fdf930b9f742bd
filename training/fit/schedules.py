"""Learning-rate schedules: the share of the peak rate at each step. Pure functions of the step.

All of them rise in a straight line over the first `warmup` of the steps. With p from 0 to 1 over the rest, the share is

    linear            1 - p
    cosine            (1 + cos(pi p)) / 2
    cosine_restarts   (1 + cos(pi (cycles p mod 1))) / 2    back to the peak `cycles` - 1 times (Loshchilov and Hutter, 2017)
    constant          1
"""

import math
from collections.abc import Callable
from typing import Final, Literal

Name = Literal["linear", "cosine", "cosine_restarts", "constant"]
Schedule = Callable[[int], float]


def schedule(name: Name, steps: int, warmup: float, cycles: int = 1) -> Schedule:
    """The share at step 0, 1, … of `steps`; beyond them, that of the last place."""
    rise = max(1, int(warmup * steps))
    fall = FALLS[name]

    def share(step: int) -> float:
        if step + 1 < rise:
            return (step + 1) / rise
        progress = min(1.0, max(0, step - rise) / max(1, steps - rise))
        return fall(progress, cycles)

    return share


def _linear(progress: float, _cycles: int) -> float:
    return 1 - progress


def _cosine(progress: float, _cycles: int) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _cosine_restarts(progress: float, cycles: int) -> float:
    return 0.0 if progress >= 1 else _cosine(cycles * progress % 1, 1)


def _constant(_progress: float, _cycles: int) -> float:
    return 1.0


FALLS: Final[dict[Name, Callable[[float, int], float]]] = {
    "linear": _linear,
    "cosine": _cosine,
    "cosine_restarts": _cosine_restarts,
    "constant": _constant,
}
