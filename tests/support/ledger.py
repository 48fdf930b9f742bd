"""The ledger of a test: every result, flagged result and dead letter that came since it was opened."""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kafka import KafkaProducer, TopicPartition

from pipeline import kafka as options
from pipeline.read import Reader
from pipeline.settings import Settings
from pipeline.topics import Lag, describe_topics
from schemas.dead_letters import DeadLetter
from tests.support.waiting import wait_until

FETCH_WAIT_MS = 50
"""How long a broker may hold a fetch of an empty partition, which is what tells us its end."""
VARIES = ("timings", "attempt")
"""Fields in which a repeated result may differ."""


class Ledger:
    """Open it before publishing; `settle` when everything is published."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._settings = settings
        self._reader = reader
        self.results: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.flagged: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.dead: list[DeadLetter] = []
        self.keys: list[tuple[str, bytes | None, str | None]] = []

    def poll(self) -> None:
        """Take in what has come."""
        for record in self._reader.poll(timeout_ms=50):
            self._take(record)

    def wait_for(self, ids: Collection[str], timeout_s: float = 60) -> None:
        """Until each of `ids` has a result or a dead letter."""

        def missing() -> set[str]:
            self.poll()
            return set(ids) - self.ids

        wait_until(lambda: not missing(), lambda: f"{len(missing())} outcomes, such as {sorted(missing())[:3]}", timeout_s)

    def wait_for_jobs(self, count: int, timeout_s: float = 60) -> None:
        """Until so many jobs have a result or a dead letter, repeats not counted."""

        def enough() -> bool:
            self.poll()
            return len(self.ids) >= count

        wait_until(enough, lambda: f"{count} jobs with an outcome, there are {len(self.ids)}", timeout_s)

    def wait_for_dead(self, count: int, timeout_s: float = 60) -> None:
        """Until so many dead letters have come."""

        def enough() -> bool:
            self.poll()
            return len(self.dead) >= count

        wait_until(enough, lambda: f"{count} dead letters, there are {len(self.dead)}", timeout_s)

    def settle(self, timeout_s: float = 60) -> None:
        """Until both groups have committed all there is, one after the other, and what they made is taken in."""
        for number in (0, 1):
            wait_until(partial(_caught_up, self._settings, number), lambda: f"{lags(self._settings)}", timeout_s)
        ends = _ends_of(self._settings, *_outputs(self._settings))
        wait_until(lambda: self._has_read(ends), f"all of {ends}", timeout_s)

    def _has_read(self, ends: dict[TopicPartition, int]) -> bool:
        self.poll()
        return all(self._reader._consumer.position(place) >= end for place, end in ends.items())

    @property
    def ids(self) -> set[str]:
        """Every job that has an outcome."""
        return set(self.results) | {letter.job_id for letter in self.dead if letter.job_id}

    @property
    def codes(self) -> Counter[str]:
        """How many dead letters of each code."""
        return Counter(letter.code for letter in self.dead)

    def dead_of(self, job_id: str) -> DeadLetter:
        """The one dead letter of a job."""
        (letter,) = [letter for letter in self.dead if letter.job_id == job_id]
        return letter

    def result_of(self, job_id: str) -> dict[str, Any]:
        """A job's first result."""
        return self.results[job_id][0]

    def repeats(self) -> dict[str, list[dict[str, Any]]]:
        """The results of every job that has several."""
        return {job_id: found for job_id, found in self.results.items() if len(found) > 1}

    def _take(self, record: Any) -> None:
        if record.topic == self._settings.dead_letters_topic:
            letter = DeadLetter.model_validate_json(record.value)
            self.dead.append(letter)
            self.keys.append((record.topic, record.key, letter.job_id))
            return
        result = json.loads(record.value)
        taken = self.results if record.topic == self._settings.results_topic else self.flagged
        taken[result["job_id"]].append(result)
        self.keys.append((record.topic, record.key, result["job_id"]))


@contextmanager
def open_ledger(settings: Settings) -> Iterator[Ledger]:
    """A ledger of all that comes from now on."""
    with _reader(settings, *_outputs(settings)) as reader:
        _go_to_end(reader)
        yield Ledger(settings, reader)


def unvarying(result: dict[str, Any]) -> bytes:
    """A result's bytes, without what may vary from one time to the next."""
    return json.dumps({name: value for name, value in result.items() if name not in VARIES}).encode()


def lags(settings: Settings) -> list[Lag]:
    """How far behind preprocess is, and the workers."""
    return describe_topics(settings)[1]


def _caught_up(settings: Settings, group: int) -> bool:
    lag = lags(settings)[group]
    return lag.behind == 0 and lag.committed >= end_of(settings, lag.topic)


def end_of(settings: Settings, topic: str) -> int:
    """How many records the topic has had, as fetches tell: the embedded broker's own answer is too low."""
    return sum(_ends_of(settings, topic).values())


def _outputs(settings: Settings) -> tuple[str, ...]:
    return settings.results_topic, settings.flagged_topic, settings.dead_letters_topic


def _ends_of(settings: Settings, *topics: str) -> dict[TopicPartition, int]:
    with _reader(settings, *topics) as reader:
        _go_to_end(reader)
        return _ends(reader)


def _reader(settings: Settings, *topics: str) -> Reader:
    return Reader(settings.model_copy(update={"kafka_fetch_wait_ms": FETCH_WAIT_MS}), topics)


def _go_to_end(reader: Reader) -> None:
    """Past all that is there, also past what lies beyond the end that the embedded broker names."""
    reader.seek_end()
    wait_until(lambda: reader.poll(timeout_ms=50) is not None and None not in _ends(reader).values(), "the ends of topics")
    for place, end in _ends(reader).items():
        reader._consumer.seek(place, end)


def _ends(reader: Reader) -> dict[TopicPartition, int]:
    return {place: reader._consumer.highwater(place) for place in reader._consumer.assignment()}


@contextmanager
def raw_producer(settings: Settings) -> Iterator[KafkaProducer]:
    """A producer that sends whatever it is given."""
    producer = KafkaProducer(**options.producer(settings))
    try:
        yield producer
        producer.flush()
    finally:
        producer.close(timeout=5)
