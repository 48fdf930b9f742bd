"""Stops a stage before it drains its topic into the dead letters: where most jobs fail, the jobs are not to blame one by one.

A sender that changed, a policy that is gone, a bundle that does not fit: a person must look, and what was not delivered is
still there when the cause is mended. Every stage counts for itself, in memory: a new process begins anew.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final

from pydantic_core import from_json

from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from schemas.errors import DeadLetterLimitError

_CODES_SHOWN: Final = 5
"""Codes named in the error, the most frequent first."""

Deliver = Callable[[Sequence[Outgoing]], None]


class DeadLetterGuard:
    """Counts what becomes of the last jobs, a batch at a time. For one thread.

    Of a batch that reaches back beyond the window, a share counts: which of its jobs came last nobody knows.
    """

    def __init__(self, settings: Settings) -> None:
        self._share_max = settings.dead_letter_share_max
        self._window_jobs = settings.dead_letter_window_jobs
        self._batches: deque[tuple[int, Sequence[str]]] = deque()
        self._jobs = self._dead = 0

    def count(self, done: int, dead: Sequence[str]) -> None:
        """Take note of jobs that are about to be delivered: how many succeed, and the codes of those that do not.

        Raises DeadLetterLimitError where, with them, the window is full and too many of it are dead: do not deliver them.
        A record that is buried whole is one job, however many it held.
        """
        if not 0 < self._share_max < 1 or not (done or dead):
            return
        self._batches.append((done, dead))
        self._jobs += done + len(dead)
        self._dead += len(dead)
        self._forget()
        if self._jobs >= self._window_jobs and (found := self._dead_in_window()) > self._share_max * self._window_jobs:
            raise DeadLetterLimitError(self._sentence(round(found)))

    def _forget(self) -> None:
        while self._jobs - (oldest := self._size(0)) >= self._window_jobs:
            self._jobs -= oldest
            self._dead -= len(self._batches.popleft()[1])

    def _size(self, number: int) -> int:
        done, dead = self._batches[number]
        return done + len(dead)

    def _dead_in_window(self) -> float:
        oldest, oldest_dead = self._size(0), len(self._batches[0][1])
        within = self._window_jobs - (self._jobs - oldest)
        return self._dead - oldest_dead * (1 - within / oldest)

    def _sentence(self, found: int) -> str:
        codes = Counter(code for _, dead in self._batches for code in dead).most_common(_CODES_SHOWN)
        named = ", ".join(f"{code} {count:,}" for code, count in codes)
        return (
            f"{found:,} of the last {self._window_jobs:,} jobs are dead letters ({named}), more than {self._share_max:.0%}: "
            "stopped before the rest follow. Look at them (llmos dead-letters list) and mend the cause, "
            "or raise LLMOS_DEAD_LETTER_SHARE_MAX to let them go"
        )


def guarded(deliver: Deliver, settings: Settings) -> Deliver:
    """`deliver` for a stage whose records are single outcomes: it counts them first, and delivers nothing beyond the limit."""
    guard = DeadLetterGuard(settings)

    def counted(records: Sequence[Outgoing]) -> None:
        dead = [_code(record.value) for record in records if record.topic == settings.dead_letters_topic]
        guard.count(sum(record.topic == settings.results_topic for record in records), dead)
        deliver(records)

    return counted


def _code(letter: bytes) -> str:
    return str(from_json(letter)["code"])
