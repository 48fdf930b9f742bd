"""Looks for outcomes whose reply did not come: replies are a courtesy of the stages, results and dead letters are not.

Reads on in the results and dead letters from where the last look ended, or from when the oldest job was made. Each look begins
with the ends of the topics and then asks who waits, so whoever comes later finds their outcome behind the place where it ends.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from kafka import TopicPartition

from pipeline import metrics
from pipeline.clock import now_ms
from pipeline.gateway.contract import Outcome, Sink
from pipeline.gateway.ledger import Ledger
from pipeline.gateway.outcome import outcome_of
from pipeline.read import Reader
from pipeline.settings import Settings
from schemas.errors import TransientError

_LOG = logging.getLogger(__name__)
EVERY_S: Final = 10
"""Between two looks, where anybody waits for long."""
AFTER_S: Final = 5
"""A reply mostly comes sooner."""
MARGIN_MS: Final = 60_000
"""How far clocks may be apart: records carry the time of who wrote them."""
RECORDS_MAX: Final = 500_000
"""Read in one look; the next one goes on there."""
LOOK_S: Final = 60
"""Longest look: a broker that falls silent in the middle is asked again later."""

_BY_TIME: Final = 7
"""The version of UUIDs that begin with the time …"""
_BELOW_TIME: Final = 80
"""… and the bits that follow it."""

Since = Mapping[str, int | None]
"""The jobs without an outcome, and when each was made, in Unix milliseconds; None where nobody knows."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look has found, and where the next one goes on."""

    outcomes: Sequence[Outcome]
    positions: Mapping[TopicPartition, int]


class LookUps:
    """Looks in a thread of its own; `turn` is called from one other thread. `since` tells who waits, to any thread."""

    def __init__(self, settings: Settings, ledger: Ledger, since: Callable[[], Since]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._since = since
        self._started_ms = now_ms()
        self._next_at = time.monotonic() + EVERY_S
        self._running: Future[Found] | None = None
        self._stopping = threading.Event()

    def turn(self, sinks: Sequence[Sink]) -> Found | None:
        """Never waits: begins a look where one is due, or tells what the last one found. Raises what no later look would mend."""
        if self._running is None:
            self._begin(sinks)
        if self._running is None or not self._running.done():
            return None
        running, self._running = self._running, None
        try:
            found = running.result()
        except TransientError as error:
            _LOG.warning("outcomes cannot be looked for: %s", error)
            return None
        metrics.GATEWAY_LOOKED_UP.inc(len(found.outcomes))
        return found

    def stop(self) -> None:
        """Break off the look under way, and do not wait for it; nothing of it counts."""
        self._stopping.set()

    def _begin(self, sinks: Sequence[Sink]) -> None:
        if time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + EVERY_S
        since = self._waiting(sinks)
        before_ms = now_ms() - 1000 * AFTER_S
        if any(at_ms is None or at_ms < before_ms for at_ms in since.values()):
            self._running = Future()
            threading.Thread(target=self._run, args=(sinks, self._running), name="look-up", daemon=True).start()

    def _waiting(self, sinks: Sequence[Sink]) -> Since:
        ours = self._since()  # first: a request that ends now has left its jobs to a sink, which had them before it began
        kept = {job_id: made_at_ms(job_id) for sink in sinks for job_id in sink.waiting()}
        return {**kept, **ours}

    def _run(self, sinks: Sequence[Sink], running: Future[Found]) -> None:
        try:
            running.set_result(self._look(sinks))
        except Exception as error:  # noqa: BLE001 (for the thread that asks)
            running.set_exception(error)

    def _look(self, sinks: Sequence[Sink]) -> Found:
        topics = [self._settings.results_topic, self._settings.dead_letters_topic]
        with Reader(self._settings, topics) as reader:
            ends = reader.ends()
            if self._stopping.is_set():
                return Found([], {})
            since = self._waiting(sinks)
            reader.seek(self._starts(reader, ends, since))
            outcomes = [outcome for value in self._values(reader, ends, since) if (outcome := outcome_of(value)) is not None]
            return Found(outcomes, reader.positions())

    def _starts(self, reader: Reader, ends: Mapping[TopicPartition, int], since: Since) -> dict[TopicPartition, int]:
        known = self._ledger.positions({place.topic for place in ends})
        known = {place: offset for place, offset in known.items() if offset <= ends.get(place, 0)}  # unless made anew
        if None in since.values() and known.keys() >= ends.keys():
            return known
        oldest_ms = min((self._started_ms if at_ms is None else at_ms for at_ms in since.values()), default=self._started_ms)
        return {place: max(offset, known.get(place, 0)) for place, offset in reader.offsets_since(oldest_ms - MARGIN_MS).items()}

    def _values(self, reader: Reader, ends: Mapping[TopicPartition, int], since: Since) -> Iterator[bytes]:
        read, until = 0, time.monotonic() + LOOK_S
        while reader.is_before(ends) and read < RECORDS_MAX and time.monotonic() < until and not self._stopping.is_set():
            records = reader.poll()
            read += len(records)
            yield from (record.value for record in records if record.key and record.key.decode(errors="replace") in since)


def made_at_ms(job_id: str) -> int | None:
    """When an id was made, in Unix milliseconds, if it tells."""
    try:
        made = UUID(job_id)
    except ValueError:
        return None
    return made.int >> _BELOW_TIME if made.version == _BY_TIME else None
