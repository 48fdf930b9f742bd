"""Reads this gateway's reply topic in a thread of its own, and hands every outcome on: first to what keeps it, then to who waits.

In: results and dead letters, as the stages reply with them, and those that a look-up has found. Out: outcomes.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from kafka import TopicPartition

from pipeline import metrics
from pipeline.backoff import Backoff
from pipeline.gateway.contract import Outcome, Sink
from pipeline.gateway.ledger import Ledger
from pipeline.gateway.lookup import LookUps
from pipeline.gateway.outcome import outcome_of
from pipeline.gateway.room import Room
from pipeline.read import Reader
from pipeline.settings import Settings
from pipeline.tracing import incoming
from schemas.errors import TransientError

if TYPE_CHECKING:
    from pipeline.spans import Tracing

_LOG = logging.getLogger(__name__)
STORE_S: Final = 0.5
"""How long what was read may be unstored: a killed gateway reads so much again, and each turn is spared a write to disk."""
STOP_S: Final = 3
"""How long a stop waits for the end of the reading: a broker that is away may hold it up."""


class Replies:
    """The reading from `start` to `stop`. `on_outcomes` and `on_end` (with what ended it) are called from its thread."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        room: Room,
        look_ups: LookUps,
        tracing: "Tracing | None" = None,
        *,
        on_outcomes: Callable[[Sequence[Outcome]], None],
        on_end: Callable[[Exception], None],
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._room = room
        self._look_ups = look_ups
        self._tracing = tracing
        self._on_outcomes = on_outcomes
        self._on_end = on_end
        self._sinks: Sequence[Sink] = ()
        self._unstored: dict[TopicPartition, int] = {}
        self._resolved: list[str] = []
        self._stored_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
        self.opened: Future[None] = Future()
        self.positions: dict[TopicPartition, int] = {}

    def start(self, sinks: Sequence[Sink]) -> None:
        """Read from now on; `opened` is done once it does, or has what ended it."""
        self._sinks = sinks
        self._thread.start()

    def stop(self) -> None:
        """Finish what was read; returns when the thread has ended, or hangs on a broker that is away."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def _run(self) -> None:
        try:
            with closing(self._polls()) as polls:
                for records in polls:
                    self._turn(records)
            self._store()
        except Exception as error:  # noqa: BLE001 (ends the process, in the thread that can)
            if self.opened.done():
                self._on_end(error)
            else:
                self.opened.set_exception(error)

    def _polls(self) -> Generator[list[Any]]:
        backoff: Backoff | None = None
        while not self._stopping.is_set():
            try:
                with Reader(self._settings, [self._settings.gateway_topic]) as reader:
                    self._seek(reader)
                    while not self._stopping.is_set():
                        yield reader.poll()
                        backoff = None
            except TransientError as error:
                backoff = backoff or Backoff(self._settings.kafka_delivery_timeout_ms / 1000)
                _LOG.warning("replies cannot be read: %s", error)
                self._stopping.wait(backoff.after(error))

    def _seek(self, reader: Reader) -> None:
        """From what is known on; from the ends where nothing is, since then nobody waits yet."""
        ends = reader.ends()
        known = self._ledger.positions({self._settings.gateway_topic}) | self.positions
        self.positions = {place: start(known.get(place), end, new=not known) for place, end in ends.items()}
        reader.seek(self.positions)
        self._ledger.store(self.positions)
        if not self.opened.done():
            self.opened.set_result(None)

    def _turn(self, records: Sequence[Any]) -> None:
        if self._tracing is None:
            self._take(records)
        else:
            with self._tracing.batch(self._settings.gateway_topic, [incoming(record) for record in records]):
                self._take(records)
        if found := self._look_ups.turn(self._sinks):
            self._hand_on(found.outcomes)
            self._unstored |= found.positions
        if (self._unstored or self._resolved) and time.monotonic() - self._stored_at >= STORE_S:
            self._store()

    def _take(self, records: Sequence[Any]) -> None:
        self._hand_on([outcome for record in records if (outcome := self._read(record)) is not None])

    def _read(self, record: Any) -> Outcome | None:  # noqa: ANN401 (kafka-python is untyped)
        place = TopicPartition(record.topic, record.partition)
        self.positions[place] = self._unstored[place] = record.offset + 1
        outcome = outcome_of(record.value)
        kind = "unreadable" if outcome is None else "dead_letter" if outcome.dead else "result"
        metrics.GATEWAY_REPLIES.labels(kind).inc()
        return outcome

    def _hand_on(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        for sink in self._sinks:
            sink.take(outcomes)
        self._resolved += [outcome.job_id for outcome in outcomes if self._room.holds(outcome.job_id)]
        self._on_outcomes(outcomes)

    def _store(self) -> None:
        self._ledger.store(self._unstored, self._resolved)
        self._unstored, self._resolved, self._stored_at = {}, [], time.monotonic()


def start(known: int | None, end: int, *, new: bool) -> int:
    """Where to read on in a partition: at the known position, unless the topic was made anew; at the end of one never read."""
    if known is None:
        return end if new else 0
    return known if known <= end else 0
