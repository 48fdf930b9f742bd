"""What a process says of itself: one object that the ready file and the probes read. And the end of a process that is stuck."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.settings import Settings
from pipeline.stacks import stacks

_LOG = logging.getLogger(__name__)
NOT_UP: Final = "it is starting or stopping"
NONE_YET: Final = "no canary has come back yet"
_LATE_S: Final = 30
"""A round of canaries may take so much longer than planned: connecting anew, a busy machine."""


class Readiness:
    """Whether this process is alive, and ready: it has said so, and where canaries are on they got the right answers.

    Any thread may tell it and ask it. The ready file knows nothing of canaries: it tells whoever starts processes that one is up.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._file = settings.ready_file
        self._canaries = settings.canary_every_s > 0
        self._silent_max_s = settings.canary_every_s + 2 * settings.canary_within_s + _LATE_S
        self._clock = clock
        self._heard_at = clock()
        self._troubles: Sequence[str] = (NONE_YET,)
        self.up = False
        """Whether it has taken up its work, and is not about to stop."""
        self.alive = True
        """Whether it can still do anything: false from the moment that it gives up."""

    def announce(self, *, up: bool) -> None:
        """It takes up its work, or stops to: make or remove the ready file, where one is set."""
        self.up = up
        if self._file and up:
            self._file.touch()
        elif self._file:
            self._file.unlink(missing_ok=True)

    def heard(self, troubles: Sequence[str]) -> None:
        """Canaries were sent: what went wrong with them, a sentence each; none where both answers were right."""
        self._troubles, self._heard_at = troubles, self._clock()

    def because(self) -> list[str]:
        """Why it is not ready, a sentence each; empty where it is."""
        return [*([] if self.up else [NOT_UP]), *self.canary_troubles()]

    def canary_troubles(self) -> list[str]:
        """The part of `because` that canaries tell; empty where there are none."""
        if not self._canaries:
            return []
        silent_s = self._clock() - self._heard_at
        if not self._troubles and silent_s > self._silent_max_s:
            return [f"no canary was heard of for {silent_s:.0f} s"]
        return list(self._troubles)

    def give_up(self) -> None:
        """The process ends, drained or not, and nothing will change that."""
        self.alive = False
        self.announce(up=False)

    def end_stuck(self, sentence: str) -> None:
        """Exit with 75 at once, uncommitted: `sentence` and all stacks are in the log, and the ready file is gone."""
        try:
            self.give_up()
            _LOG.critical("%s\n%s", sentence, stacks())
            logging.shutdown()
        finally:
            os._exit(os.EX_TEMPFAIL)
