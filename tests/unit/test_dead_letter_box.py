"""The dead-letter box: what lies in it, and how it goes out again."""

import json
from datetime import UTC, datetime

import pytest
from kafka.errors import KafkaTimeoutError

from pipeline.dead_letter_box import REPLAY_HEADER, Filed, read_dead_letters, replay, replayed_places
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.dead_letters import DeadLetter, Header, Original, RawBytes, Replay
from schemas.errors import ConfigurationError, TransientError
from schemas.work import Source
from tests.support.fake_kafka import FakeKafka, FakeRecord

JOBS, DEAD, REPLAYS, WORK = "llmos.jobs", "llmos.dead-letters", "llmos.replays", "llmos.work.toy.12345678"
VALUE = b'{"text": "hello", "tenant": "gone"}'


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**{JOBS: 1, DEAD: 2, REPLAYS: 1, WORK: 1})
    kafka.install(monkeypatch)
    return kafka


@pytest.fixture
def settings() -> Settings:
    return Settings(kafka_bootstrap="broker:9092")


def letter(
    value: RawBytes | None, *, job_id: str | None = "one", stage: str = "preprocess", headers: tuple[Header, ...] = ()
) -> DeadLetter:
    return DeadLetter(
        job_id=job_id,
        code=Code.UNKNOWN_TENANT,
        stage=stage,
        reason="tenant 'gone' has no policy here",
        source=Source(topic=WORK if stage == "worker" else JOBS, partition=0, offset=9),
        original=Original(key=RawBytes.of(b"key"), headers=headers, value=value),
        attempts=1,
        versions={},
        failed_at=datetime.now(UTC),
    )


def file(kafka: FakeKafka, one: DeadLetter | bytes | None, partition: int = 0) -> FakeRecord:
    return kafka.append(DEAD, one.model_dump_json().encode() if isinstance(one, DeadLetter) else one, partition=partition)


def chosen(settings: Settings) -> list[Filed]:
    return list(read_dead_letters(settings))


def notes(kafka: FakeKafka) -> list[Replay]:
    """Of what was published, for sure."""
    found = [Replay.model_validate_json(value) for value in kafka.values(REPLAYS)]
    return [note for note in found if note.state == "published"]


def test_each_letter_comes_with_its_own_place(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(RawBytes.of(VALUE)))
    file(kafka, letter(RawBytes.of(VALUE)), partition=1)
    assert sorted(filed.name for filed in chosen(settings)) == ["0:0", "1:0"]


def test_what_is_no_letter_is_passed_over(kafka: FakeKafka, settings: Settings) -> None:
    for value in (b"no json", b"{}", None):
        file(kafka, value)
    file(kafka, letter(RawBytes.of(VALUE)))
    assert [filed.name for filed in chosen(settings)] == ["0:3"]


def test_since_a_time_on(kafka: FakeKafka, settings: Settings) -> None:
    for second in (10, 20, 30):
        kafka.now_ms = second * 1000
        file(kafka, letter(RawBytes.of(VALUE)))
    assert [filed.place.offset for filed in read_dead_letters(settings, datetime.fromtimestamp(20, UTC))] == [1, 2]


def test_a_replay_publishes_the_original_with_a_header_and_leaves_a_note(kafka: FakeKafka, settings: Settings) -> None:
    headers = (Header(name="trace", value=RawBytes.of(b"\xff")), Header(name="trace", value=None))
    file(kafka, letter(RawBytes.of(VALUE), headers=headers), partition=1)
    assert [filed.name for filed in replay(settings, chosen(settings))] == ["1:0"]
    (record,) = kafka.records(JOBS)
    assert (record.value, record.key) == (VALUE, b"key")
    assert ("trace", b"\xff") in record.headers
    assert (REPLAY_HEADER, f"{DEAD}/1/0".encode()) in record.headers
    (note,) = notes(kafka)
    assert (note.job_id, note.published_to, note.edited) == ("one", JOBS, False)
    assert (note.dead_letter.partition, note.dead_letter.offset) == (1, 0)


def test_a_replay_of_a_replay_names_only_the_last_letter(kafka: FakeKafka, settings: Settings) -> None:
    before = Header(name=REPLAY_HEADER, value=RawBytes.of(f"{DEAD}/0/0".encode()))
    file(kafka, letter(RawBytes.of(VALUE), headers=(before,)), partition=1)
    list(replay(settings, chosen(settings)))
    (record,) = kafka.records(JOBS)
    assert [value for name, value in record.headers if name == REPLAY_HEADER] == [f"{DEAD}/1/0".encode()]


def test_an_edited_original_is_noted_as_edited(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(RawBytes.of(VALUE)))
    list(replay(settings, chosen(settings), lambda value: value.replace(b"gone", b"default")))
    assert json.loads(kafka.values(JOBS)[0]) == {"text": "hello", "tenant": "default"}
    assert [note.edited for note in notes(kafka)] == [True]


def test_an_edit_that_changes_nothing_is_no_edit(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(RawBytes.of(VALUE)))
    list(replay(settings, chosen(settings), lambda value: value))
    assert [note.edited for note in notes(kafka)] == [False]


def test_an_original_that_was_cut_is_refused_unless_it_is_edited(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(RawBytes.of(b"x" * 100, 10)))
    with pytest.raises(ConfigurationError, match="only a part of its original"):
        list(replay(settings, chosen(settings)))
    assert kafka.records(JOBS) == []
    list(replay(settings, chosen(settings), lambda _: VALUE))
    assert kafka.values(JOBS) == [VALUE]


def test_a_letter_without_an_original_cannot_be_replayed(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(None))
    with pytest.raises(ConfigurationError, match="holds no original"):
        list(replay(settings, chosen(settings), lambda _: VALUE))


@pytest.mark.parametrize(
    ("stage", "job_id", "topic"),
    [
        ("worker", None, WORK),  # a work record that could not be taken apart
        ("worker", "one", JOBS),
        ("preprocess", None, JOBS),
    ],
)
def test_an_original_goes_to_where_its_kind_is_read(
    kafka: FakeKafka, settings: Settings, stage: str, job_id: str | None, topic: str
) -> None:
    file(kafka, letter(RawBytes.of(b"\x00\xffbytes"), stage=stage, job_id=job_id))
    list(replay(settings, chosen(settings)))
    assert kafka.values(topic) == [b"\x00\xffbytes"]
    assert [note.published_to for note in notes(kafka)] == [topic]


def test_what_was_replayed_is_known_afterwards(kafka: FakeKafka, settings: Settings) -> None:
    for _ in range(3):
        file(kafka, letter(RawBytes.of(VALUE)))
    assert not replayed_places(settings)
    list(replay(settings, chosen(settings)[:2]))
    assert len(replayed_places(settings)) == 2


def test_a_note_that_is_none_is_passed_over(kafka: FakeKafka, settings: Settings) -> None:
    kafka.append(REPLAYS, b"no note")
    kafka.append(REPLAYS, None)
    assert not replayed_places(settings)


def test_what_was_not_delivered_is_not_noted_as_replayed(kafka: FakeKafka, settings: Settings) -> None:
    file(kafka, letter(RawBytes.of(VALUE)))
    kafka.refused[JOBS] = KafkaTimeoutError("not in time")
    with pytest.raises(TransientError, match="not in time"):
        list(replay(settings, chosen(settings)))
    assert notes(kafka) == []
    del kafka.refused[JOBS]
    assert not replayed_places(settings)


def test_what_was_published_when_a_replay_broke_off_is_not_published_again(kafka: FakeKafka, settings: Settings) -> None:
    kafka.now_ms = int(datetime.now(UTC).timestamp() * 1000)
    file(kafka, letter(RawBytes.of(VALUE)))

    def break_off(name: str) -> None:
        if name == "send" and kafka.records(JOBS):
            raise KafkaTimeoutError("gone")

    kafka.step = break_off
    with pytest.raises(TransientError):
        list(replay(settings, chosen(settings)))
    kafka.step = lambda _: None
    assert len(kafka.records(JOBS)) == 1
    assert len(replayed_places(settings)) == 1
