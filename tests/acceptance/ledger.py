"""The ledger of a chaos run: every job that was published, what must become of it, and what did. No Kafka in here.

Every job has an id. A record that is beyond reading carries its id as its key, which a dead letter keeps.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tests.support.ledger import unvarying

RESULT: Final = "result"
DEAD: Final = "dead letter"
_VARIES_IN_LETTERS: Final = ("failed_at", "attempts")


@dataclass(frozen=True, slots=True)
class Expected:
    """Where a job must end, and with which verdict or code."""

    fate: str
    word: str


@dataclass(frozen=True, slots=True)
class Repeat:
    """One outcome more than the first; times in Unix seconds."""

    job_id: str
    first_s: float
    again_s: float
    same: bool


@dataclass(slots=True)
class _Seen:
    fate: str
    word: str
    digest: bytes
    first_s: float


@dataclass(slots=True)
class Ledger:
    """What was published: `offer` before sending, `accept` once the broker has confirmed. Outcomes: `take` each record."""

    expected: dict[str, Expected] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    repeats: list[Repeat] = field(default_factory=list)
    invented: set[str] = field(default_factory=set)
    in_both: set[str] = field(default_factory=set)
    flagged: set[str] = field(default_factory=set)
    _seen: dict[str, _Seen] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, jobs: dict[str, Expected]) -> None:
        """These are about to be sent."""
        with self._lock:
            self.expected |= jobs

    def accept(self, ids: Collection[str]) -> None:
        """The broker has confirmed these: from now on they must not be lost."""
        with self._lock:
            self.accepted.update(ids)

    def refuse(self, ids: Collection[str]) -> None:
        """The broker has not confirmed these: they may come, or not."""
        with self._lock:
            self.refused.update(ids)

    @property
    def on_the_way(self) -> int:
        """Offered, and neither confirmed nor given up."""
        with self._lock:
            return len(self.expected) - len(self.accepted) - len(self.refused)

    def take_result(self, value: bytes, at_s: float) -> None:
        """A record of the results topic."""
        result = json.loads(value)
        self._take(result["job_id"], _Seen(RESULT, result["verdict"], _digest(unvarying(result)), at_s))

    def take_dead_letter(self, value: bytes, at_s: float) -> None:
        """A record of the dead-letters topic."""
        letter = json.loads(value)
        stays = {name: found for name, found in letter.items() if name not in _VARIES_IN_LETTERS}
        self._take(_id_of(letter), _Seen(DEAD, letter["code"], _digest(json.dumps(stays).encode()), at_s))

    def take_flagged(self, value: bytes) -> None:
        """A record of the flagged topic."""
        self.flagged.add(json.loads(value)["job_id"])

    def _take(self, job_id: str, seen: _Seen) -> None:
        if job_id not in self.expected:
            self.invented.add(job_id)
        before = self._seen.setdefault(job_id, seen)
        if before is seen:
            return
        if before.fate != seen.fate:
            self.in_both.add(job_id)
            return
        # Partitions are read in no order of time: what is read first may have been written last.
        first_s, again_s = sorted((before.first_s, seen.first_s))
        self.repeats.append(Repeat(job_id, first_s, again_s, before.digest == seen.digest))

    @property
    def missing(self) -> set[str]:
        """Accepted, and without an outcome."""
        return self.accepted - self._seen.keys()

    @property
    def settled(self) -> int:
        """Jobs with an outcome."""
        return len(self._seen)

    @property
    def misjudged(self) -> dict[str, str]:
        """Jobs that ended otherwise than they must, and how: a neighbour's fault that became theirs, for one."""
        return {
            job_id: f"{seen.fate} {seen.word}, not {wanted.fate} {wanted.word}"
            for job_id, seen in self._seen.items()
            if (wanted := self.expected.get(job_id)) and (seen.fate, seen.word) != (wanted.fate, wanted.word)
        }

    @property
    def unflagged(self) -> set[str]:
        """Results that ask for attention and are not among the flagged."""
        return set(self._asking()) - self.flagged

    def _asking(self) -> Iterator[str]:
        return (job_id for job_id, seen in self._seen.items() if seen.fate == RESULT and seen.word != "allow")


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()


def _id_of(letter: dict[str, Any]) -> str:
    key = letter["original"]["key"]
    if letter["job_id"] is not None or key is None:
        return str(letter["job_id"])
    return str(key["data"]) if key["encoding"] == "utf-8" else base64.b64decode(key["data"]).decode(errors="replace")
