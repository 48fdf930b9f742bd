"""Keeps the memory of a step for the next one: gradients of an embedding table are tens of megabytes, and made anew each time."""

import ctypes
from contextlib import suppress
from typing import Final

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt`, as its `malloc.h` numbers them."""
_ALL: Final = (1 << 31) - 1


def keep_memory() -> None:
    """From now on, what this process frees stays its own; does nothing where the C library is not glibc.

    Else the kernel takes it back and gives it anew, page by page and each full of zeros, which costs a sixth of a step.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _ALL)
