"""Waits for a condition, with an end: tests never sleep for luck."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
_POLL_S: Final = 0.05


def wait_until(condition: Callable[[], T], what: str | Callable[[], str], timeout_s: float = 30) -> T:
    """The first true value of `condition`; fails with `what` when none has come in time."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what() if callable(what) else what}"
        time.sleep(_POLL_S)
    return found
