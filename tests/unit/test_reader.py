"""Readers: from the start, the end or a time; each result once; and what is no result stops nobody."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest
from kafka.errors import KafkaTimeoutError

from pipeline import read as read_module
from pipeline.canary import CANARY_TENANT
from pipeline.read import Reader, ResultReader
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError
from schemas.results import InferenceResult
from tests.support.fake_kafka import FakeKafka
from tests.support.work import ToyWorker, job, pack_jobs, work_record

RESULTS, FLAGGED = "llmos.results", "llmos.flagged"


@pytest.fixture
def settings(toy_settings: Settings) -> Settings:
    return toy_settings.model_copy(update={"kafka_bootstrap": "broker:9092"})


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**{RESULTS: 2, FLAGGED: 1})
    kafka.install(monkeypatch)
    return kafka


class Writing:
    """Results of a toy worker, written to the topics."""

    def __init__(self, kafka: FakeKafka, settings: Settings) -> None:
        self._kafka = kafka
        self._worker = ToyWorker(settings)

    def __call__(self, *texts: str, at_ms: int = 1_000, tenant: str = "default") -> None:
        self._kafka.now_ms = at_ms
        record = work_record(pack_jobs(self._worker.bundle, [job(text, tenant=tenant) for text in texts]))
        for out in self._worker.scorer.score([record]):
            self._kafka.append(out.topic, out.value, out.key)


@pytest.fixture
def write(kafka: FakeKafka, settings: Settings) -> Writing:
    return Writing(kafka, settings)


def read(settings: Settings, *, flagged: bool = False, since: datetime | None = None) -> list[str]:
    with ResultReader(settings, flagged=flagged, since=since) as reader:
        return [result.job_id for result in reader.results()]


def test_all_results_there_are_and_then_the_end(write: Writing, settings: Settings) -> None:
    write("hello", "kill", "casino")
    assert sorted(read(settings)) == ["casino", "hello", "kill"]


def test_an_empty_topic_ends_at_once(kafka: FakeKafka, settings: Settings) -> None:
    assert read(settings) == []


def test_results_are_typed(write: Writing, settings: Settings) -> None:
    write("kill")
    with ResultReader(settings) as reader:
        (result,) = reader.results()
    assert isinstance(result, InferenceResult)
    assert result.verdict == "block"


def test_only_flagged_results_if_asked(write: Writing, settings: Settings) -> None:
    write("hello", "kill")
    assert read(settings, flagged=True) == ["kill"]


def test_results_of_canaries_come_only_if_asked(kafka: FakeKafka, write: Writing, settings: Settings) -> None:
    write("hello")
    write("friend", tenant=CANARY_TENANT)
    assert read(settings) == ["hello"]
    with ResultReader(settings, canaries=True) as reader:
        assert sorted(result.job_id for result in reader.results()) == ["friend", "hello"]


def test_a_repeat_is_dropped(write: Writing, settings: Settings) -> None:
    write("hello", "friend")
    write("hello")
    assert sorted(read(settings)) == ["friend", "hello"]


def test_as_many_ids_are_remembered_as_there_is_room_for(
    write: Writing, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_module, "SEEN_MAX", 2)
    with ResultReader(settings) as reader:
        fresh = [reader._is_new(name) for name in ("a", "b", "a", "c", "b", "a")]
        assert fresh == [True, True, False, True, False, True]  # a was the oldest when c came
        assert len(reader._seen) == 2


@pytest.mark.parametrize("value", [b"no json", b"{}", b"[]", b"\xff", None])
def test_what_is_no_result_is_counted_and_passed_over(
    kafka: FakeKafka, write: Writing, settings: Settings, value: bytes | None
) -> None:
    write("hello")
    kafka.append(RESULTS, value, b"hello")
    write("friend")
    with ResultReader(settings) as reader:
        assert len(list(reader.results())) == 2
        assert reader.unreadable == 1


def test_since_a_time_on(write: Writing, settings: Settings) -> None:
    for second, text in ((10, "hello"), (20, "friend"), (30, "kill")):
        write(text, at_ms=second * 1000)
    assert sorted(read(settings, since=datetime.fromtimestamp(20, UTC))) == ["friend", "kill"]


def test_since_a_time_after_everything_there_is_nothing(write: Writing, settings: Settings) -> None:
    write("hello")
    assert read(settings, since=datetime(2099, 1, 1, tzinfo=UTC)) == []


def test_what_comes_while_it_reads_does_not_keep_it_from_ending(write: Writing, settings: Settings) -> None:
    write("hello", "friend")
    with ResultReader(settings) as reader:
        found = []
        for result in reader.results():
            found.append(result.job_id)
            write(f"hello hello {len(found)}")
            assert len(found) < 50
    assert {"hello", "friend"} <= set(found)


def test_following_goes_on_with_what_comes(kafka: FakeKafka, write: Writing, settings: Settings) -> None:
    write("hello")
    later = iter(["friend", "kill"])
    kafka.idle = lambda: write(next(later))
    with ResultReader(settings) as reader:
        assert [result.job_id for result in islice(reader.results(follow=True), 3)] == ["hello", "friend", "kill"]


def test_from_the_end_only_what_comes_now(write: Writing, settings: Settings) -> None:
    write("hello", "friend")
    with Reader(settings, [RESULTS, FLAGGED]) as reader:
        reader.seek_end()
        assert reader.poll() == []
        write("kill")
        assert {record.topic for record in reader.poll()} == {RESULTS, FLAGGED}


def test_a_topic_that_is_not_there_is_named(kafka: FakeKafka, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"topic llmos\.absent does not exist"), Reader(settings, ["llmos.absent"]):
        pytest.fail("there is nothing to read")


def test_a_reader_that_cannot_start_leaves_no_client_open(
    kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(read_module, "KafkaConsumer", lambda **options: made.append(kafka.consumer(**options)) or made[-1])
    with pytest.raises(ConfigurationError), Reader(settings, ["llmos.absent"]):
        pytest.fail("there is nothing to read")
    assert [consumer.closed for consumer in made] == [True]


@pytest.mark.parametrize(
    "use",
    [
        lambda reader: reader.poll(),
        lambda reader: reader.seek_end(),
        lambda reader: reader.seek_start(datetime(2026, 1, 1, tzinfo=UTC)),
        lambda reader: list(reader.records(follow=False)),
    ],
)
def test_a_broker_that_goes_away_is_transient_whatever_is_asked(
    kafka: FakeKafka, settings: Settings, use: Callable[[Reader], object]
) -> None:
    with Reader(settings, [RESULTS]) as reader:
        kafka.step = _away
        with pytest.raises(TransientError, match="broker away"):
            use(reader)
        kafka.step = lambda _: None


def _away(_: str) -> None:
    raise KafkaTimeoutError("broker away")


def test_no_broker_is_transient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def nobody(**_: object) -> Iterator[None]:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr(read_module, "KafkaConsumer", nobody)
    with pytest.raises(TransientError, match="Unable to bootstrap"), ResultReader(settings):
        pytest.fail("there is no broker")


def test_reading_joins_no_group_and_commits_nothing(kafka: FakeKafka, write: Writing, settings: Settings) -> None:
    write("hello")
    steps: list[str] = []
    kafka.step = steps.append
    read(settings)
    assert not [step for step in steps if "commit" in step]
    assert not kafka.groups
