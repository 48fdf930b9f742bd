"""Reads dead letters and publishes them again, once they are mended or their cause is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from kafka import KafkaProducer
from kafka.errors import KafkaError
from pydantic import ValidationError

from pipeline import kafka as options
from pipeline.read import Reader
from pipeline.settings import Settings
from schemas.dead_letters import DeadLetter, Replay
from schemas.errors import ConfigurationError, TransientError
from schemas.work import Source

REPLAY_HEADER: Final = "llmos-replay-of"
"""Header of a replayed record: TOPIC/PARTITION/OFFSET of the dead letter."""


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


def replayed_places(settings: Settings) -> set[tuple[int, int]]:
    """Partition and offset of every dead letter that was replayed before."""
    with Reader(settings, [settings.replays_topic]) as reader:
        reader.seek_start()
        notes = [Replay.model_validate_json(record.value) for record in reader.records(follow=False)]
    return {(note.dead_letter.partition, note.dead_letter.offset) for note in notes}


def replay(settings: Settings, chosen: list[Filed], edit: Callable[[bytes], bytes] | None = None) -> Iterator[Filed]:
    """Publish the originals of `chosen` again, then a note of each; yields each when the broker has confirmed both.

    Raises ConfigurationError for an original that was cut to fit, unless it is edited.
    """
    try:
        producer = KafkaProducer(**options.producer(settings))
    except KafkaError as error:
        raise TransientError(f"no Kafka broker answers: {error}") from error
    try:
        for filed in chosen:
            _replay_one(producer, settings, filed, edit)
            yield filed
    except KafkaError as error:
        raise TransientError(f"not replayed: {error}") from error
    finally:
        producer.close(timeout=5)


def _replay_one(producer: KafkaProducer, settings: Settings, filed: Filed, edit: Callable[[bytes], bytes] | None) -> None:
    original, timeout_s = filed.letter.original, settings.kafka_delivery_timeout_ms / 1000
    if original.value is None:
        raise ConfigurationError(f"dead letter {filed.name} holds no original to replay: the record was empty")
    if not original.value.complete and edit is None:
        raise ConfigurationError(
            f"dead letter {filed.name} holds only a part of its original; the whole lies at {filed.letter.source}"
        )
    value = original.value.to_bytes()
    changed = edit(value) if edit else value
    headers = [(header.name, header.value.to_bytes() if header.value else b"") for header in original.headers]
    place = f"{filed.place.topic}/{filed.place.partition}/{filed.place.offset}"
    headers = [header for header in headers if header[0] != REPLAY_HEADER] + [(REPLAY_HEADER, place.encode())]
    key = original.key.to_bytes() if original.key else None
    # A record that a worker could not take apart goes back to its work topic; all else holds jobs.
    target = filed.letter.source.topic if filed.letter.stage == "worker" and filed.letter.job_id is None else settings.jobs_topic
    producer.send(target, changed, key=key, headers=headers).get(timeout_s)
    note = Replay(
        job_id=filed.letter.job_id,
        dead_letter=filed.place,
        published_to=target,
        edited=changed != value,
        replayed_at=datetime.now(UTC),
    )
    producer.send(settings.replays_topic, note.model_dump_json().encode(), key=place.encode()).get(timeout_s)
