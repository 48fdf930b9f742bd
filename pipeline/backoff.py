"""How long to wait before trying again: each time about twice as long, a little by chance, and not for ever."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from schemas.errors import LLMOSError, TransientError

T = TypeVar("T")
JITTER: Final = 0.25
"""Share of a wait that chance may take away: what failed together shall not come back together."""
FIRST_S: Final = 0.2
MOST_S: Final = 5
"""Between tries to reach a broker: soon enough for one that is just starting, seldom enough for one that is gone."""
_DOUBLINGS_MAX: Final = 32
"""Beyond that every wait has reached its longest, and the numbers would only grow."""


def wait_s(failures: int, *, first_s: float, most_s: float, chance: Callable[[], float] = random.random) -> float:
    """The wait after so many failures in a row, from 1: at most `first_s` doubled each time, and at most `most_s`."""
    whole = min(most_s, first_s * 2 ** min(failures - 1, _DOUBLINGS_MAX))
    return float(whole * (1 - JITTER * chance()))


class Backoff:
    """The waits between the tries of one undertaking, which may take `within_s` from now on."""

    def __init__(
        self,
        within_s: float,
        *,
        first_s: float = FIRST_S,
        most_s: float = MOST_S,
        clock: Callable[[], float] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._clock = clock or time.monotonic
        self._chance = chance
        self._ends_at = self._clock() + within_s
        self._failures = 0

    def next_s(self) -> float | None:
        """How long to wait before the next try, which is the last one where time ends with it; None where time is up."""
        left = self._ends_at - self._clock()
        if left <= 0:
            return None
        self._failures += 1
        return min(left, wait_s(self._failures, first_s=self._first_s, most_s=self._most_s, chance=self._chance))

    def after(self, error: LLMOSError) -> float:
        """The same after `error`, which is raised where time is up, or where it is no passing trouble."""
        wait = self.next_s()
        if wait is None or not isinstance(error, TransientError):
            raise error
        return wait


async def retried(
    doing: Callable[[], Awaitable[T]],
    within_s: float,
    errors: type[Exception] | tuple[type[Exception], ...],
    named: Callable[[Exception], LLMOSError],
) -> T:
    """What `doing` gives; after one of `errors` it is tried again.

    Raises what `named` calls the error where time is up, or where that is no passing trouble.
    """
    backoff = Backoff(within_s)
    while True:
        try:
            return await doing()
        except errors as error:
            await asyncio.sleep(backoff.after(named(error)))
