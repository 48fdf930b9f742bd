"""What a stage has in hand and what still waits for it, as Prometheus sees it; none of it is on the way of a job."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from pipeline import metrics
from pipeline.backlog import Backlog
from pipeline.clock import now_ms
from pipeline.collectors import Labels

_LOG = logging.getLogger(__name__)
LAG_EVERY_S: Final = 15
"""How often the broker is asked: as often as Prometheus commonly asks us, for at most three small requests each time."""
IDLE_S: Final = 1
"""How soon we notice that partitions are ours, before which there is nothing to ask for."""

Positions = Mapping[tuple[str, int], int | None]
"""Partitions that are ours, each with the offset that is read next, or None: then from what the group has committed."""


def show_in_hand(stage: str, records: Callable[[], int], oldest_ms: Callable[[], int | None]) -> None:
    """Have Prometheus ask how many records `stage` has in hand, and how old the oldest is, by its time on its topic."""

    def age_s() -> float:
        since_ms = oldest_ms()
        return 0 if since_ms is None else max(0, now_ms() - since_ms) / 1000

    metrics.RECORDS_IN_FLIGHT.labels(stage).set_function(records)
    metrics.OLDEST_SECONDS.labels(stage).set_function(age_s)


class LagWatch:
    """Asks how many records wait on our partitions, from `start` to `stop`, in a thread and through a connection of its own.

    Where the broker does not tell, nothing is shown: an old number would look like a new one.
    """

    def __init__(self, stage: str, backlog: Backlog, partitions: Callable[[], Positions]) -> None:
        self._stage = stage
        self._backlog = backlog
        self._partitions = partitions
        self._found: Mapping[Labels, float] = {}
        self._stopped = threading.Event()

    def start(self, metrics_port: int) -> None:
        """Ask from now on; never, where nobody could see it because there is no such port."""
        if metrics_port:
            metrics.LAG_RECORDS.follow(lambda: self._found)
            threading.Thread(target=self._run, name="lag", daemon=True).start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()

    def look(self, positions: Positions) -> Mapping[Labels, float]:
        """Ask once: records that wait, by stage, topic and partition."""
        try:
            waiting = self._backlog.waiting(positions) if positions else {}
        except Exception as error:  # noqa: BLE001 (a broker that is away has many faces, and none is our business)
            _LOG.debug("the lag is not known: %r", error)
            return {}
        return {(self._stage, place[0], str(place[1])): found.records(positions[place]) for place, found in waiting.items()}

    def _run(self) -> None:
        while not self._stopped.is_set():
            positions = self._partitions()
            self._found = self.look(positions)
            self._stopped.wait(LAG_EVERY_S if positions else IDLE_S)
