"""The time of day as messages carry it. Code that thinks gets a clock passed in; this is the real one."""

import time


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000
