"""The consumer for the embedded broker: what it notes beside an offset is believed at that offset alone."""

from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import CommitFailedError
from kafka.structs import OffsetAndMetadata

from workers.remembering import RememberingConsumer

HERE, THERE = TopicPartition("work", 0), TopicPartition("work", 1)


class Broker:
    """Keeps offsets, and forgets what was said of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.refuses = False
        self.left: list[bool] = []
        monkeypatch.setattr(KafkaConsumer, "__init__", lambda consumer, **configs: setattr(consumer, "config", configs))
        monkeypatch.setattr(KafkaConsumer, "__del__", lambda _: None, raising=False)
        monkeypatch.setattr(KafkaConsumer, "close", lambda consumer, **_: self.left.append(consumer._coordinator.member))
        monkeypatch.setattr(KafkaConsumer, "commit", lambda _, offsets, **__: self._commit(offsets))
        monkeypatch.setattr(KafkaConsumer, "committed", lambda _, partition, **options: self._committed(partition, **options))

    def _commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.refuses:
            raise CommitFailedError
        self.offsets.update({partition: found.offset for partition, found in offsets.items()})

    def _committed(self, partition: TopicPartition, *, metadata: bool, **_: Any) -> Any:
        offset = self.offsets.get(partition)
        return OffsetAndMetadata(offset, "", -1) if metadata and offset is not None else offset


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    return Broker(monkeypatch)


def consumer(folder: Path, group: str = "workers") -> RememberingConsumer:
    """A fresh process's."""
    return RememberingConsumer(folder / "notes", group_id=group)


def commit(who: RememberingConsumer, offset: int, metadata: str, partition: TopicPartition = HERE) -> None:
    who.commit({partition: OffsetAndMetadata(offset, metadata, -1)})


def noted(who: RememberingConsumer, partition: TopicPartition = HERE) -> str | None:
    found = who.committed(partition, metadata=True)
    return found.metadata if found else None


def test_another_process_finds_what_was_noted(broker: Broker, tmp_path: Path) -> None:
    commit(consumer(tmp_path), 5, "marker")
    assert noted(consumer(tmp_path)) == "marker"
    assert noted(consumer(tmp_path), THERE) is None


def test_another_group_finds_nothing(broker: Broker, tmp_path: Path) -> None:
    commit(consumer(tmp_path), 5, "marker")
    assert noted(consumer(tmp_path, "others")) == ""


def test_a_commit_without_metadata_takes_the_note_away(broker: Broker, tmp_path: Path) -> None:
    who = consumer(tmp_path)
    commit(who, 5, "marker")
    commit(who, 5, "")
    assert noted(who) == ""


def test_a_note_beside_another_offset_is_not_believed(broker: Broker, tmp_path: Path) -> None:
    who = consumer(tmp_path)
    commit(who, 5, "marker")
    broker.offsets[HERE] = 6
    assert noted(who) == ""


def test_a_refused_commit_notes_nothing(broker: Broker, tmp_path: Path) -> None:
    who = consumer(tmp_path)
    commit(who, 5, "first")
    broker.refuses = True
    with pytest.raises(CommitFailedError):
        commit(who, 5, "second")
    assert noted(who) == "first"


def test_a_damaged_note_is_none(broker: Broker, tmp_path: Path) -> None:
    who = consumer(tmp_path)
    commit(who, 5, "marker")
    (note,) = (tmp_path / "notes").glob("*.json")
    note.write_text("[5", "utf-8")
    assert noted(who) == ""


def test_it_leaves_no_group_when_it_closes(broker: Broker, tmp_path: Path) -> None:
    who = consumer(tmp_path)
    who._coordinator = Membership()
    who.close(autocommit=False)
    assert broker.left == [False]


class Membership:
    """A member until it is told to forget it."""

    member = True

    def reset_generation(self) -> None:
        self.member = False
