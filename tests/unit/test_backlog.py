"""What waits for a group, as the broker tells it to somebody who is not the consumer."""

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError
from kafka.structs import OffsetAndMetadata, OffsetAndTimestamp

from pipeline.backlog import Backlog, Waiting
from pipeline.settings import Settings
from tests.support.fake_kafka import FakeAdmin, FakeKafka

GROUP = "workers"
PLACES = [("work", 0), ("work", 1)]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    """Five records in each of two partitions; the group has committed two of the first."""
    kafka = FakeKafka(work=2)
    kafka.install(monkeypatch)
    for number in range(10):
        kafka.append("work", b"", partition=number % 2)
    kafka.committed[GROUP][TopicPartition("work", 0)] = OffsetAndMetadata(2, "[9,marker]", -1)
    return kafka


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(Settings(kafka_bootstrap="broker:9092"), GROUP)


def test_it_counts_from_what_the_group_has_committed_to_the_end(kafka: FakeKafka, backlog: Backlog) -> None:
    found = backlog.waiting(PLACES)
    assert found == {("work", 0): Waiting(2, 5), ("work", 1): Waiting(0, 5)}
    assert [waiting.records() for waiting in found.values()] == [3, 5]


def test_only_the_partitions_that_are_asked_for_are_told(kafka: FakeKafka, backlog: Backlog) -> None:
    assert list(backlog.waiting(PLACES[1:])) == PLACES[1:]


def test_what_retention_has_taken_does_not_wait(kafka: FakeKafka, backlog: Backlog, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FakeAdmin.list_partition_offsets

    def trimmed(admin: FakeAdmin, asked: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndTimestamp]:
        found = whole(admin, asked)
        return {place: OffsetAndTimestamp(max(offset.offset, 4), -1, -1) for place, offset in found.items()}

    monkeypatch.setattr(FakeAdmin, "list_partition_offsets", trimmed)
    assert [waiting.records() for waiting in backlog.waiting(PLACES).values()] == [1, 1]


def test_a_position_counts_for_more_than_the_commit_and_an_end_that_is_too_low_is_no_lag() -> None:
    waiting = Waiting(first=2, end=5)
    assert [waiting.records(position) for position in (None, 4, 5, 7)] == [3, 1, 0, 0]


def test_one_connection_serves_all_questions_until_one_fails(kafka: FakeKafka, backlog: Backlog) -> None:
    asked: list[str] = []
    backlog.waiting(PLACES)
    first = backlog._client
    backlog.waiting(PLACES)
    assert backlog._client is first

    def fail(name: str) -> None:
        asked.append(name)
        raise KafkaConnectionError("gone")

    kafka.step = fail
    with pytest.raises(KafkaConnectionError):
        backlog.waiting(PLACES)
    kafka.step = lambda _: None
    assert isinstance(first, FakeAdmin)
    assert first.closed
    assert backlog.waiting(PLACES)[("work", 0)] == Waiting(2, 5)
    assert backlog._client is not first
