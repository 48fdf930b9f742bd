"""Waits for what became of published jobs: a result or a dead letter for each, matched by id or by place."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self

from pydantic_core import from_json

from pipeline.publish import Delivery
from pipeline.read import Reader
from pipeline.settings import Settings
from schemas.errors import TransientError

UNRESOLVED_MAX: Final = 50_000
"""Jobs published and without an outcome; then publishing waits: what is remembered of them stays small."""
EARLY_MAX: Final = 10_000
"""Outcomes of unknown jobs kept, the newest, in case their delivery is confirmed a moment later."""

_TICK_S: Final = 0.25

Place = tuple[str, int, int]


class Outcomes:
    """A context manager. Enter it before publishing; `write` gets the JSON of each outcome, from another thread.

    A repeated outcome is dropped. Dead letters have a `code`, results a `verdict`.
    """

    def __init__(self, settings: Settings, write: Callable[[bytes], None], idle_s: float = 120) -> None:
        self._idle_s = idle_s
        self._reader = Reader(settings, [settings.results_topic, settings.dead_letters_topic])
        self._dead_letters = settings.dead_letters_topic
        self._write = write
        self._changed = threading.Condition()
        self._ids: set[str] = set()
        self._places: set[Place] = set()
        self._early: dict[Place, bytes] = {}
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name="outcomes", daemon=True)
        self.results = self.dead = 0

    def __enter__(self) -> Self:
        self._reader.__enter__()
        self._reader.seek_end()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        self._reader.__exit__(kind, error, trace)

    def expect(self, job_id: str) -> None:
        """A job is about to be published; waits while too many are unresolved, and raises what ended the reading.

        Raises TransientError where none has come for `idle_s` seconds.
        """
        with self._changed:
            while not self._has_room():
                self._wait_for_another()
            if self._error:
                raise self._error
            self._ids.add(job_id)

    def _has_room(self) -> bool:
        return len(self._ids) < UNRESOLVED_MAX or self._error is not None

    def _wait_for_another(self) -> None:
        came = self.results + self.dead
        if not self._changed.wait_for(lambda: self._has_room() or self.results + self.dead > came, self._idle_s):
            raise TransientError(f"{len(self._ids):,} jobs are published, and none has come back for {self._idle_s:.0f} s")

    def expect_place(self, delivery: Delivery) -> None:
        """A raw record was delivered: its dead letter will name the place."""
        place = (delivery.topic, delivery.partition, delivery.offset)
        with self._changed:
            early = self._early.pop(place, None)
            if early is None:
                self._places.add(place)
            else:
                self._resolve_place(early)

    @property
    def missing(self) -> int:
        """Outcomes that have not come yet."""
        return len(self._ids) + len(self._places)

    def missing_ids(self, most: int) -> list[str]:
        """Some ids of jobs without an outcome."""
        with self._changed:
            return sorted(self._ids)[:most]

    def wait(self, idle_s: float, tick: Callable[[], None]) -> bool:
        """Until all have come: True; until none has come for `idle_s`: False. Calls `tick` now and then."""
        before, since = self.missing, time.monotonic()
        while self.missing:
            if self._error:
                raise self._error
            if self.missing != before:
                before, since = self.missing, time.monotonic()
            if time.monotonic() - since >= idle_s:
                return False
            with self._changed:
                self._changed.wait(_TICK_S)
            tick()
        return True

    def _read(self) -> None:
        try:
            while not self._stop.is_set():
                for record in self._reader.poll():
                    self._take(record)
        except Exception as error:  # noqa: BLE001 (handed to the thread that waits)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _take(self, record: Any) -> None:  # noqa: ANN401 (kafka-python is untyped)
        dead = record.topic == self._dead_letters
        job_id = record.key.decode(errors="replace") if record.key else None
        with self._changed:
            if record.value is None:
                return  # a tombstone is no outcome
            if job_id in self._ids:
                self._ids.discard(job_id)
                self._count(record.value, dead=dead)
            elif dead:
                self._take_by_place(record.value)
            self._changed.notify_all()

    def _take_by_place(self, value: bytes) -> None:
        try:
            source = from_json(value)["source"]
            place = (source["topic"], source["partition"], source["offset"])
        except (ValueError, TypeError, KeyError):
            return  # somebody else wrote it
        if place in self._places:
            self._places.discard(place)
            self._resolve_place(value)
            return
        self._early[place] = value
        if len(self._early) > EARLY_MAX:
            del self._early[next(iter(self._early))]

    def _resolve_place(self, value: bytes) -> None:
        self._count(value, dead=True)

    def _count(self, value: bytes, *, dead: bool) -> None:
        self.dead += dead
        self.results += not dead
        self._write(value)
