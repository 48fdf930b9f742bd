"""Ends a process that stands still: partitions are its own, records wait, and for too long nothing gets finished.

Clients of Kafka can get stuck for good, and raise nothing: a rejoin that never ends, a coordinator that stays dead to this
client alone, fetches that are no longer sent. So can a stage: a model that hangs, a deadlock. The watchdog stands outside of
all that: a thread of its own, which counts what gets finished and asks the broker, through a connection of its own, whether
anything waits. Where the broker does not tell, nobody is to blame: an outage is sat out by the clients. But a client that
makes nothing of a broker which answers the watchdog is stuck, whatever it believes, and only a new process helps. So it is where
the broker refuses to tell: a client that has nothing to do may not notice that it has lost a right.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pipeline.refusal import refusal

_LOG = logging.getLogger(__name__)
LOOK_EVERY_S: Final = 30
"""Longest pause between two looks; each costs the broker some requests, and only where nothing moves."""
LOOKS_MIN: Final = 4
"""Looks in the time that a process may stand still: one alone proves nothing."""
PAUSE_S: Final = 15
"""So much later than planned a look may come; beyond that the whole process was stopped, and nothing is known of the time."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What a look found: partitions that are ours, work finished so far, and records that wait, None where nobody tells."""

    assigned: int
    finished: int
    lag: int | None


class ProgressWatch:
    """Says since when a process has been stuck. Pure but for the clock that it is given."""

    def __init__(self, clock: Callable[[], float], pause_max_s: float) -> None:
        self._clock = clock
        self._pause_max_s = pause_max_s
        self._finished = -1
        self._looked_at = clock()
        self._stuck_since: float | None = None

    def moved(self, finished: int) -> bool:
        """Whether something was finished since the last look: then nobody need ask for a lag."""
        return finished != self._finished

    def observe(self, found: Progress) -> float | None:
        """Since when, by the clock, every look has found work that waits and none that was finished; None where it has not."""
        now, before = self._clock(), self._looked_at
        stuck = found.assigned > 0 and bool(found.lag) and not self.moved(found.finished)
        self._looked_at, self._finished = now, found.finished
        if not stuck:
            self._stuck_since = None
        elif self._stuck_since is None or now - before > self._pause_max_s:
            self._stuck_since = now
        return self._stuck_since


class Watched(Protocol):
    """A process as the watchdog sees it; called from the watchdog's thread."""

    def counts(self) -> tuple[int, int]:
        """Partitions that are ours, and work finished so far: any number that changes as work gets finished. Never waits."""

    def lag(self) -> int:
        """Records that wait for us; asks the broker, and raises where that does not answer."""


class Watchdog:
    """Looks from `start` to `stop`; `on_stuck` gets a sentence, and must not return where the process is to end."""

    def __init__(
        self,
        watched: Watched,
        on_stuck: Callable[[str], None],
        *,
        stuck_after_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched = watched
        self._on_stuck = on_stuck
        self._stuck_after_s = stuck_after_s
        self._every_s = min(LOOK_EVERY_S, stuck_after_s / LOOKS_MIN)
        self._clock = clock
        self._watch = ProgressWatch(clock, self._every_s + PAUSE_S)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Look from now on; never, where `stuck_after_s` is 0."""
        if self._stuck_after_s:
            threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()

    def look(self) -> None:
        """Look once."""
        assigned, finished = self._watched.counts()
        lag = 0 if not assigned or self._watch.moved(finished) else self._lag()
        assigned, finished = self._watched.counts()  # asking may have taken its time
        since = self._watch.observe(Progress(assigned, finished, lag))
        if since is not None and self._clock() - since >= self._stuck_after_s:
            self._on_stuck(
                f"stuck: {assigned} partitions are ours and {lag:,} records wait, "
                f"but nothing was finished for {self._stuck_after_s:g} s or more"
            )

    def _lag(self) -> int | None:
        try:
            return self._watched.lag()
        except Exception as error:  # noqa: BLE001 (a broker that is away has many faces, and none is the watchdog's business)
            _LOG.debug("the watchdog does not learn the lag: %r", error)
            if refused := refusal(error):
                self._on_stuck(f"Kafka refuses us what we need: {refused!r}")
            return None

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self.look()
            except Exception:  # noqa: BLE001 (who watches the watchdog)
                _LOG.exception("the watchdog could not look")
