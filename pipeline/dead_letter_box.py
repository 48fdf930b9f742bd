"""Reads dead letters and publishes them again, once they are mended or their cause is."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic import ValidationError

from pipeline import kafka as options
from pipeline.read import Reader
from pipeline.refusal import failure
from pipeline.replay_headers import REPLAY_OF, place_name, replay_headers
from pipeline.replay_notes import published, read_notes, search
from pipeline.settings import Settings
from schemas.dead_letters import DeadLetter, Replay
from schemas.errors import ConfigurationError
from schemas.work import Source

REPLAY_HEADER: Final = REPLAY_OF
"""Header of a replayed record: TOPIC/PARTITION/OFFSET of the dead letter."""
_BATCH_LETTERS: Final = 200
"""Dead letters replayed between two waits for the broker: what a replay that breaks off leaves in doubt."""
_BATCH_BYTES: Final = 16 << 20
"""Bytes of their originals, about: kafka-python bounds no memory by itself."""

Edit = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Filed:
    """A dead letter and its own place."""

    place: Source
    letter: DeadLetter

    @property
    def name(self) -> str:
        """PARTITION:OFFSET, as the command line names it."""
        return f"{self.place.partition}:{self.place.offset}"


def read_dead_letters(settings: Settings, since: datetime | None = None) -> Iterator[Filed]:
    """All dead letters there are, oldest first within a partition; unreadable records are skipped."""
    with Reader(settings, [settings.dead_letters_topic]) as reader:
        reader.seek_start(since)
        for record in reader.records(follow=False):
            try:
                letter = DeadLetter.model_validate_json(record.value or b"")
            except ValidationError:
                continue
            yield Filed(Source(topic=record.topic, partition=record.partition, offset=record.offset), letter)


def replayed_places(settings: Settings, *, finish: bool = True) -> set[str]:
    """Names of the places of all dead letters that were replayed before, also by a replay that broke off after publishing.

    For the latter the missing notes are written, unless it is not to `finish`.
    """
    notes = read_notes(settings)
    doubtful = [note for note in notes.values() if note.state == "begun"]
    found = search(settings, doubtful) if doubtful else set()
    if found and finish:
        with _producer(settings) as producer:
            _confirm(settings, [_send_note(producer, settings, notes[place], "published") for place in sorted(found)])
    return published(notes) | found


def unreplayable(filed: Filed, *, edited: bool) -> str | None:
    """Why the original cannot be published as it was, or, where it is `edited`, not even so; None where it can."""
    value = filed.letter.original.value
    if value is None:
        return f"dead letter {filed.name} holds no original to replay: the record was empty"
    if not value.complete and not edited:
        return f"dead letter {filed.name} holds only a part of its original; the whole lies at {filed.letter.source}"
    return None


def replay(settings: Settings, chosen: Iterable[Filed], edit: Edit | None = None) -> Iterator[Filed]:
    """Publish the originals of `chosen` again, each between two notes; yields each when the broker has confirmed all of it.

    Raises ConfigurationError for an original that was cut to fit, unless it is edited, or that there is none of.
    """
    with _producer(settings) as producer:
        for batch in _batches(_Replayed.of(filed, settings, edit) for filed in chosen):
            notes = [replayed.note() for replayed in batch]
            _confirm(settings, [_send_note(producer, settings, note, "begun") for note in notes])
            _confirm(settings, [replayed.send(producer) for replayed in batch])
            _confirm(settings, [_send_note(producer, settings, note, "published") for note in notes])
            yield from (replayed.filed for replayed in batch)


@contextmanager
def _producer(settings: Settings) -> Iterator[KafkaProducer]:
    try:
        producer = KafkaProducer(**options.producer(settings))
    except KafkaError as error:
        raise failure("no connection to Kafka", error) from error
    try:
        yield producer
    except KafkaError as error:
        raise failure("not replayed", error) from error
    finally:
        options.close(producer, timeout=5)


@dataclass(frozen=True, slots=True)
class _Replayed:
    """A dead letter, and the record that it becomes."""

    filed: Filed
    topic: str
    value: bytes
    edited: bool

    @classmethod
    def of(cls, filed: Filed, settings: Settings, edit: Edit | None) -> Self:
        letter, original = filed.letter, filed.letter.original.value
        if (reason := unreplayable(filed, edited=edit is not None)) or original is None:
            raise ConfigurationError(reason)
        value = original.to_bytes()
        changed = edit(value) if edit else value
        # A record that a worker could not take apart goes back to its work topic; all else holds jobs.
        topic = letter.source.topic if letter.stage == "worker" and letter.job_id is None else settings.jobs_topic
        return cls(filed, topic, changed, changed != value)

    def send(self, producer: KafkaProducer) -> Any:  # noqa: ANN401 (kafka-python is untyped)
        letter = self.filed.letter
        key = letter.original.key.to_bytes() if letter.original.key else None
        return producer.send(self.topic, self.value, key=key, headers=replay_headers(letter, self.filed.place))

    def note(self) -> Replay:
        return Replay(
            job_id=self.filed.letter.job_id,
            dead_letter=self.filed.place,
            published_to=self.topic,
            edited=self.edited,
            replayed_at=datetime.now(UTC),
        )


def _batches(replayed: Iterable[_Replayed]) -> Iterator[list[_Replayed]]:
    batch: list[_Replayed] = []
    size = 0
    for one in replayed:
        batch.append(one)
        size += len(one.value)
        if len(batch) >= _BATCH_LETTERS or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _send_note(producer: KafkaProducer, settings: Settings, note: Replay, state: Literal["begun", "published"]) -> Any:  # noqa: ANN401
    value = note.model_copy(update={"state": state}).model_dump_json().encode()
    return producer.send(settings.replays_topic, value, key=place_name(note.dead_letter).encode())


def _confirm(settings: Settings, futures: list[Any]) -> None:
    for future in futures:
        future.get(settings.kafka_delivery_timeout_ms / 1000)
