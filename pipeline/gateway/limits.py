"""How many texts each caller may send in a minute: one token bucket a caller, a minute's worth deep, refilled evenly."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.gateway.contract import RateLimited

BUCKETS_MAX: Final = 50_000
"""Callers remembered, about 10 MB; beyond that the one not seen for longest is forgotten, and begins anew."""
MINUTE_S: Final = 60
_ROUNDING: Final = 1e-6
"""Of a text: a caller who waited exactly as long as told must not fail for the last bit of a sum."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a caller may still send."""

    limit: int
    remaining: int
    reset_s: float
    """Until everything is refilled."""

    def headers(self) -> dict[str, str]:
        """The same, named and written as OpenAI does."""
        return {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": go_duration(self.reset_s),
        }


def go_duration(seconds: float) -> str:
    """A span of time as Go writes it: 12ms, 1.5s, 6m0s."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:  # noqa: PLR2004
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds / 1000, MINUTE_S)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"


@dataclass(slots=True)
class _Bucket:
    level: float
    seen: float


class Limits:
    """The buckets of all callers. Memory is bounded; nothing blocks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, buckets_max: int = BUCKETS_MAX) -> None:
        self._clock = clock
        self._buckets_max = buckets_max
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str, texts: int, per_minute: int) -> tuple[Allowance, RateLimited | None]:
        """Take `texts` from the bucket of `caller`: what is left, and why nothing was taken where that is so.

        More texts than a minute's worth are let through where the bucket is full; what follows waits until they are paid off.
        """
        bucket = self._bucket(caller, per_minute)
        missing = min(texts, per_minute) - bucket.level
        refused = None
        if texts and missing > _ROUNDING:
            refused = RateLimited(limit=per_minute, retry_after_s=missing * MINUTE_S / per_minute)
        else:
            bucket.level -= texts
        reset_s = (per_minute - bucket.level) * MINUTE_S / per_minute
        return Allowance(per_minute, max(0, math.floor(bucket.level + _ROUNDING)), reset_s), refused

    def _bucket(self, caller: str, per_minute: int) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.setdefault(caller, _Bucket(per_minute, now))
        bucket.level = min(per_minute, bucket.level + (now - bucket.seen) * per_minute / MINUTE_S)
        bucket.seen = now
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._buckets_max:
            self._buckets.popitem(last=False)
        return bucket
