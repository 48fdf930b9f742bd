"""Job ids: UUID version 7 (RFC 9562, section 5.7), so that ids sort by time.

A job that arrives without an id gets one derived from where its record lies, so that a replay names it the same again.
"""

import hashlib
import os
import time
from uuid import UUID

_RANDOM_BYTES = 10


def _uuid7(unix_ms: int, tail: bytes) -> str:
    value = (unix_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(tail, "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(UUID(int=value))


def new_job_id() -> str:
    """A fresh id; ids made later sort later (to the millisecond)."""
    return _uuid7(time.time_ns() // 1_000_000, os.urandom(_RANDOM_BYTES))


def derived_job_id(timestamp_ms: int, topic: str, partition: int, offset: int, index: int) -> str:
    """The id of the job at `index` of the record at topic/partition/offset; the same for the same place, always."""
    place = f"{topic}\n{partition}\n{offset}\n{index}".encode()
    return _uuid7(max(timestamp_ms, 0), hashlib.blake2b(place, digest_size=_RANDOM_BYTES).digest())
