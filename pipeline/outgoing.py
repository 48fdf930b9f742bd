"""A record on its way out: what the stages hand to whatever delivers it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to be produced. `optional` ones, replies, are skipped where their topic does not exist."""

    topic: str
    key: bytes | None
    value: bytes
    optional: bool = False
    headers: tuple[tuple[str, bytes], ...] = ()
