"""Who killed the process? The answer lies in the metadata of committed offsets, so that the next process knows it.

Before a chunk is computed, its end is committed as a marker beside the unmoved offset. Whoever gets the partition and finds a
marker knows that the one before died, or lost the partition, over these records. It then goes on with care:

    chunk   many records at once                     a death here → records one by one
    record  one record, all its jobs                 a death here → its jobs one by one
    job     one job alone, tries counted             `attempts` deaths here → that job is dead-lettered

So a job is buried only when the process died on it alone, again and again; its neighbours and an operator's kill -9 cost nobody.
A process that gives up because Kafka takes no results puts its marker back to what it was: that is no death.
"""

import json
from dataclasses import dataclass
from typing import Literal

Level = Literal["chunk", "record", "job"]


@dataclass(frozen=True, slots=True)
class Marker:
    """What was tried: records up to `until` (exclusive); at level job, also which job of the first record, for the n-th time."""

    until: int
    level: Level = "chunk"
    job: int = 0
    tries: int = 0

    def dump(self) -> str:
        """As commit metadata, at most some 80 characters."""
        return json.dumps([self.until, self.level, self.job, self.tries], separators=(",", ":"))


def load_marker(metadata: str | None, offset: int) -> Marker | None:
    """The marker in `metadata` if it concerns records from `offset` on; None also for what another program wrote."""
    try:
        until, level, job, tries = json.loads(metadata or "null")
    except (ValueError, TypeError, RecursionError):
        return None
    if not all(isinstance(number, int) for number in (until, job, tries)) or level not in ("chunk", "record", "job"):
        return None
    return Marker(until, level, job, tries) if until > offset else None


def next_try(found: Marker) -> Marker:
    """How to go on with the first record after a death under `found`."""
    if found.level == "chunk":
        return Marker(found.until, "record")
    if found.level == "record":
        return Marker(found.until, "job", 0, 1)
    return Marker(found.until, "job", found.job, found.tries + 1)


def untried(marker: Marker) -> Marker:
    """The marker that leads to `marker` again: for a try that ended early through no fault of its records."""
    if marker.level == "job":
        return Marker(marker.until, "job", marker.job, marker.tries - 1)
    return Marker(marker.until, "chunk")
