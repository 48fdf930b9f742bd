"""The publisher: bounded in flight, and no failed delivery goes unsaid."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from kafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from pipeline import publish as publish_module
from pipeline.publish import Delivery, JobPublisher
from pipeline.settings import Settings
from schemas.errors import TransientError
from schemas.jobs import TextJob, parse_job
from tests.support.fake_kafka import FakeKafka
from tests.support.waiting import wait_until
from tests.support.work import job

JOBS = "llmos.jobs"


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**{JOBS: 3})
    kafka.install(monkeypatch)
    return kafka


@pytest.fixture
def settings() -> Settings:
    return Settings(kafka_bootstrap="broker:9092", publish_bulk_jobs=3, publish_in_flight_jobs=5)


def named(count: int, text: str = "hello") -> list[TextJob]:
    return [job(text, f"job-{number}") for number in range(count)]


def bulks(kafka: FakeKafka) -> list[list[str]]:
    return [[one["job_id"] for one in json.loads(value)] for value in kafka.values(JOBS)]


class Publishing(threading.Thread):
    """Publishes in a thread of its own, so that a test can see it wait."""

    def __init__(self, publisher: JobPublisher, jobs: Sequence[TextJob]) -> None:
        super().__init__(daemon=True)
        self._run = lambda: [publisher.publish(one) for one in jobs]
        self.start()

    def run(self) -> None:
        self._run()


def test_one_job_is_one_record_with_its_id_as_key(kafka: FakeKafka, settings: Settings) -> None:
    given = job("你好 \x00", "one", metadata={"a": [1]})
    with JobPublisher(settings) as publisher:
        publisher.publish(given)
    (record,) = kafka.records(JOBS)
    assert record.key == b"one"
    assert parse_job(json.loads(record.value or b"")) == given


def test_many_jobs_share_records_of_bounded_size_in_order(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings) as publisher:
        publisher.publish_many(iter(named(8)))
    assert bulks(kafka) == [["job-0", "job-1", "job-2"], ["job-3", "job-4", "job-5"], ["job-6", "job-7"]]


def test_a_bulk_record_is_closed_before_it_gets_too_large(
    kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_module, "_BULK_BYTES_MAX", 2_000)
    with JobPublisher(settings) as publisher:
        publisher.publish_many([*named(2), job("x" * 5_000, "large"), *named(1)])
    assert bulks(kafka) == [["job-0", "job-1"], ["large"], ["job-0"]]


def test_no_jobs_are_no_records(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings) as publisher:
        publisher.publish_many([])
    assert kafka.records(JOBS) == []


def test_a_raw_record_goes_out_as_it_is(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings) as publisher:
        publisher.publish_raw(b"\xff not json", key=b"k", headers=[("a", b"1"), ("a", b"2")])
    (record,) = kafka.records(JOBS)
    assert (record.value, record.key, record.headers) == (b"\xff not json", b"k", (("a", b"1"), ("a", b"2")))


def test_no_more_jobs_than_set_are_in_flight(kafka: FakeKafka, settings: Settings) -> None:
    kafka.holding = True
    with JobPublisher(settings) as publisher:
        publishing = Publishing(publisher, named(12))
        for released in range(7):
            wait_until(lambda: len(kafka.held) == 5, "five in flight")
            assert len(kafka.records(JOBS)) == released
            kafka.release(1)
        wait_until(lambda: not publishing.is_alive(), "its end")
    assert len(kafka.records(JOBS)) == 12


def test_no_more_bytes_than_set_are_in_flight(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "_IN_FLIGHT_BYTES_MAX", 10_000)
    kafka.holding = True
    with JobPublisher(settings) as publisher:
        publishing = Publishing(publisher, named(4, "x" * 4_000))
        wait_until(lambda: len(kafka.held) == 2, "two in flight")
        kafka.release(1)
        wait_until(lambda: len(kafka.held) == 2, "the third")
        assert publishing.is_alive()
        kafka.release(2)
        wait_until(lambda: not publishing.is_alive(), "its end")


def test_what_is_larger_than_the_limit_goes_alone(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "_IN_FLIGHT_BYTES_MAX", 10)
    with JobPublisher(settings.model_copy(update={"publish_in_flight_jobs": 1})) as publisher:
        publisher.publish_many(named(3))
    assert bulks(kafka) == [["job-0", "job-1", "job-2"]]


def test_a_delivery_is_told_with_its_jobs_and_its_place(kafka: FakeKafka, settings: Settings) -> None:
    told: list[Delivery] = []
    with JobPublisher(settings, on_delivered=told.append) as publisher:
        publisher.publish_many(named(2))
        publisher.publish_raw(b"raw")
    assert [(one.job_ids, one.topic, one.offset) for one in told] == [(("job-0", "job-1"), JOBS, 0), ((), JOBS, 1)]


def test_a_failed_delivery_is_told_with_its_jobs_and_raised_at_the_end(kafka: FakeKafka, settings: Settings) -> None:
    kafka.refused[JOBS] = MessageSizeTooLargeError("too large")
    told: list[tuple[Sequence[str], Exception]] = []
    with (
        pytest.raises(TransientError, match=r"5 jobs were not delivered; the first cause.*too large"),
        JobPublisher(settings, on_failed=lambda ids, error: told.append((ids, error))) as publisher,
    ):
        publisher.publish_many(named(5))
    assert [ids for ids, _ in told] == [("job-0", "job-1", "job-2"), ("job-3", "job-4")]


def test_a_record_that_cannot_even_be_sent_is_a_failed_delivery(kafka: FakeKafka, settings: Settings) -> None:
    def unreachable(name: str) -> None:
        if name == "send":
            raise KafkaTimeoutError("no metadata")

    kafka.step = unreachable
    with pytest.raises(TransientError, match=r"1 jobs .*no metadata"), JobPublisher(settings) as publisher:
        publisher.publish(job("hello"))


def test_a_flush_tells_of_the_failures_since_the_last_one(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings) as publisher:
        for cause in ("first", "second"):
            kafka.refused[JOBS] = KafkaTimeoutError(cause)
            publisher.publish(job("hello"))
            with pytest.raises(TransientError, match=f"1 jobs .*{cause}"):
                publisher.flush()
        del kafka.refused[JOBS]
        publisher.publish(job("hello"))


@pytest.mark.parametrize("refused", [False, True])
def test_what_a_callback_raises_is_raised_and_stops_nobody(kafka: FakeKafka, settings: Settings, *, refused: bool) -> None:
    """kafka-python swallows it; once, the count of jobs in flight then never came to nothing, and flush waited for ever."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    if refused:
        kafka.refused[JOBS] = KafkaTimeoutError("late")
    with pytest.raises(OSError, match="No space"), JobPublisher(settings, on_delivered=full, on_failed=full) as publisher:
        publisher.publish_many(named(20))


def test_an_error_of_the_caller_is_not_hidden_by_what_is_in_flight(kafka: FakeKafka, settings: Settings) -> None:
    kafka.holding = True
    publisher = JobPublisher(settings)

    def jobs() -> Iterator[TextJob]:
        yield from named(4)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), publisher:
        publisher.publish_many(jobs())
    assert publisher._open().closed


def test_no_broker_is_transient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    def nobody(**_: object) -> object:
        raise KafkaTimeoutError("Unable to bootstrap")

    monkeypatch.setattr(publish_module, "KafkaProducer", nobody)
    with pytest.raises(TransientError, match="Unable to bootstrap"), JobPublisher(settings):
        pytest.fail("there is no broker")


def test_its_client_can_be_told_otherwise_than_the_settings_say(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings, client={"linger_ms": 0}) as publisher, JobPublisher(settings) as other:
        assert publisher._open().options == other._open().options | {"linger_ms": 0}
        assert other._open().options["linger_ms"] > 0


@pytest.mark.parametrize("use", [lambda p: p.publish(job("a")), lambda p: p.flush()])
def test_outside_its_context_it_says_how_it_is_used(settings: Settings, use: Callable[[JobPublisher], object]) -> None:
    with pytest.raises(AssertionError, match="context manager"):
        use(JobPublisher(settings))
