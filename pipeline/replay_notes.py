"""Which dead letters were replayed before, also by a replay that broke off.

A replay notes first that it begins, publishes, and notes that it has published. So what has only the first note may or may not
be published, and the topic that it was for can tell: the record carries the dead letter's place in a header. The notes of one
dead letter share a key and with it a partition, so their order is the order in which they were written.

Two replays of the same dead letter at the same time may both publish it. That is harmless, as every repeat of a job is.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from pipeline.read import Reader
from pipeline.replay_headers import REPLAY_OF, place_name
from pipeline.settings import Settings
from schemas.dead_letters import Replay
from schemas.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
_CLOCKS_APART: Final = timedelta(minutes=15)
"""How far the clock of a note may be from that of a record: so much before the note the search begins."""

Notes = dict[str, Replay]
"""The last note of each dead letter, by the name of its place."""


def read_notes(settings: Settings) -> Notes:
    """All there are; what is no note is skipped."""
    with Reader(settings, [settings.replays_topic]) as reader:
        reader.seek_start()
        notes = [_note(record.value or b"") for record in reader.records(follow=False)]
    return {place_name(note.dead_letter): note for note in notes if note}


def published(notes: Notes) -> set[str]:
    """The places that were replayed for sure."""
    return {place for place, note in notes.items() if note.state == "published"}


def search(settings: Settings, doubtful: Iterable[Replay]) -> set[str]:
    """Which of these replays, begun and not finished, have published their records all the same.

    Reads their topics from where the first began. Finds nothing in a topic that this user may not read: what is there is then
    published again.
    """
    by_topic: dict[str, list[Replay]] = {}
    for note in doubtful:
        by_topic.setdefault(note.published_to, []).append(note)
    return {place for topic, notes in by_topic.items() for place in _search(settings, topic, notes)}


def _search(settings: Settings, topic: str, notes: list[Replay]) -> set[str]:
    wanted = {place_name(note.dead_letter) for note in notes}
    since = min(note.replayed_at for note in notes) - _CLOCKS_APART
    try:
        with Reader(settings, [topic]) as reader:
            reader.seek_start(since)
            return {place for record in reader.records(follow=False) if (place := _replay_of(record)) in wanted}
    except ConfigurationError as error:
        _LOG.warning("%d dead letters may be published twice: %s", len(wanted), error)
        return set()


def _replay_of(record: Any) -> str:  # noqa: ANN401 (kafka-python is untyped)
    places = [value for name, value in record.headers if name == REPLAY_OF and value]
    return places[-1].decode(errors="replace") if places else ""


def _note(value: bytes) -> Replay | None:
    try:
        return Replay.model_validate_json(value)
    except ValidationError:
        return None
