"""The preprocess process around the stage: what it makes of Faust's messages, and how it ends, drains and says it is ready."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from hypothesis import given
from hypothesis import strategies as st

from pipeline import exits
from pipeline.preprocess import app as module
from pipeline.preprocess.app import PreprocessApp, run_preprocess
from pipeline.preprocess.batcher import Batcher
from pipeline.preprocess.gate import AckGate
from pipeline.settings import Settings
from schemas.errors import BundleError, ConfigurationError, DeadLetterLimitError, TransientError
from tests.support.faust_apps import preprocess_app

PLACE = TP("llmos.jobs", 3)
PASSED_OVER = 100
"""Records before this offset never came."""


class Panic(BaseException):
    """As a panic of a Rust library comes to Python: no Exception."""


class Exited(BaseException):
    """In place of the end of the process, which a test outlives."""


@pytest.fixture
def ready_file(tmp_path: Path) -> Path:
    """Where readiness is said."""
    return tmp_path / "ready"


@pytest.fixture
def app(toy_settings: Settings, tmp_path: Path, ready_file: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PreprocessApp]:
    """As a process makes it, but for a broker; its end raises Exited with the exit code."""

    def end(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", end)
    limits = {"preprocess_in_flight_records": 2, "kafka_session_timeout_ms": 50}
    with preprocess_app(toy_settings.model_copy(update={"ready_file": ready_file, **limits}), tmp_path) as made:
        yield made


def message(**fields: Any) -> ConsumerMessage:
    """As Faust's driver makes it of a record."""
    given = {"topic": "llmos.jobs", "partition": 3, "offset": 9, "timestamp": 1.5, "timestamp_type": 1, "headers": ()}
    sizes = {"key": b"k", "value": b"v", "checksum": None, "serialized_key_size": 1, "serialized_value_size": 1}
    return ConsumerMessage(**{**given, **sizes, "tp": PLACE, "generation_id": 1, **fields})


def test_a_message_becomes_a_record_with_everything_that_came() -> None:
    headers = (("h", b"1"), ("h", b"\xff"), ("n", None))
    record = module._job_record(message(headers=headers))
    assert (record.topic, record.partition, record.offset) == ("llmos.jobs", 3, 9)
    assert (record.key, record.value, record.headers, record.timestamp_ms) == (b"k", b"v", headers, 1500)


@pytest.mark.parametrize("headers", [None, (), [], {}])
def test_a_message_may_have_no_headers_key_or_value(headers: Any) -> None:
    record = module._job_record(message(headers=headers, key=None, value=None))
    assert (record.headers, record.key, record.value) == ((), None, None)


def test_headers_may_come_as_a_mapping() -> None:
    assert module._job_record(message(headers={"a": b"1", "b": None})).headers == (("a", b"1"), ("b", None))


@given(st.integers(-1, 253_402_300_799_999))  # to the end of the year 9999
def test_the_millisecond_is_kept_though_faust_counts_in_seconds(timestamp_ms: int) -> None:
    assert module._job_record(message(timestamp=timestamp_ms / 1000.0)).timestamp_ms == timestamp_ms


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (TransientError("not confirmed"), exits.TRANSIENT),
        (KafkaConnectionError("away"), exits.TRANSIENT),
        (ConnectionResetError(), exits.TRANSIENT),
        (TopicAuthorizationFailedError("llmos.work.toy"), exits.CONFIGURATION),
        (ConfigurationError("no such topic"), exits.CONFIGURATION),
        (DeadLetterLimitError("too many"), exits.DEAD_LETTERS),
        (ZeroDivisionError(), exits.BUG),
        (AssertionError(), exits.BUG),
        (Panic(), exits.BUG),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_each_error_ends_the_process_with_its_code(app: PreprocessApp, ready_file: Path, error: BaseException, code: int) -> None:
    app._readiness.announce(up=True)
    with pytest.raises(Exited) as ended:
        app.die(error)
    assert ended.value.args == (code,)
    assert not ready_file.exists()


class Stream:
    """A stream of the agent; only its events without automatic acknowledgement can be read."""

    def __init__(self, messages: Sequence[ConsumerMessage], end: BaseException | None = None) -> None:
        self._messages = messages
        self._end = end

    def noack(self) -> SimpleNamespace:
        """The stream whose events we acknowledge ourselves."""
        return SimpleNamespace(events=self._events)

    async def _events(self) -> AsyncIterator[Any]:
        for each in self._messages:
            yield SimpleNamespace(message=each, ack=lambda: True)
        if self._end:
            raise self._end


def follow_into(app: PreprocessApp) -> None:
    """Give the app a gate, and what looks at offsets before it: all before `PASSED_OVER` are as they must be."""

    async def follow(each: ConsumerMessage) -> None:
        if each.offset >= PASSED_OVER:
            raise TransientError("records were passed over")

    async def committing() -> None:
        pass

    app._gate = AckGate(lambda: 1)
    app._progress = SimpleNamespace(committing=committing)  # type: ignore[assignment]
    app._succession = SimpleNamespace(follow=follow)  # type: ignore[assignment]


def taking_up(app: PreprocessApp) -> list[Any]:
    """Give the app a gate and a batcher that only notes what it is given."""
    taken: list[Any] = []

    async def put(slot: Any, record: Any) -> None:
        taken.append((slot.event.message.offset, record.offset))
        if record.value == b"bad":
            raise ZeroDivisionError

    follow_into(app)
    app._batcher = SimpleNamespace(put=put)  # type: ignore[assignment]
    return taken


def test_every_event_is_admitted_and_put_in_order(app: PreprocessApp) -> None:
    taken = taking_up(app)
    asyncio.run(app._take_up(Stream([message(offset=offset) for offset in range(5)])))
    assert taken == [(offset, offset) for offset in range(5)]


def test_a_record_behind_others_that_never_came_ends_the_process_and_is_not_taken_up(app: PreprocessApp) -> None:
    taken = taking_up(app)
    with pytest.raises(Exited, match=str(exits.TRANSIENT)):
        asyncio.run(app._take_up(Stream([message(offset=0), message(offset=PASSED_OVER)])))
    assert taken == [(0, 0)]


def test_a_record_waits_while_commits_are_overdue(app: PreprocessApp) -> None:
    taken = taking_up(app)

    async def story() -> None:
        overdue = asyncio.Event()
        app._progress = SimpleNamespace(committing=overdue.wait)  # type: ignore[assignment]
        taking = asyncio.create_task(app._take_up(Stream([message(offset=0)])))
        for _ in range(5):
            await asyncio.sleep(0)
        assert taken == []
        overdue.set()
        await taking

    asyncio.run(story())
    assert taken == [(0, 0)]


@pytest.mark.parametrize("end", [None, ZeroDivisionError()])
def test_an_error_in_the_agent_ends_the_process_before_faust_restarts_it(app: PreprocessApp, end: BaseException | None) -> None:
    taken = taking_up(app)
    messages = [message(offset=0), message(offset=1, value=b"v" if end else b"bad"), *([] if end else [message(offset=2)])]
    with pytest.raises(Exited, match=str(exits.BUG)):
        asyncio.run(app._take_up(Stream(messages, end)))
    assert taken == [(0, 0), (1, 1)]


def test_being_cancelled_is_no_error_of_the_agent(app: PreprocessApp) -> None:
    taking_up(app)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(app._take_up(Stream([], asyncio.CancelledError())))


def test_ready_means_that_partitions_are_assigned(app: PreprocessApp, ready_file: Path) -> None:
    assigned: list[object] = []
    app._progress = SimpleNamespace(assigned=assigned.append)  # type: ignore[assignment]
    assert not ready_file.exists()
    asyncio.run(app._assigned(app, {PLACE}))
    assert (ready_file.exists(), assigned) == (True, [{PLACE}])
    app._readiness.announce(up=False)
    app._readiness.announce(up=False)
    assert not ready_file.exists()


class Group:
    """Faust's consumer, as far as it commits."""

    def __init__(self) -> None:
        self.committed: list[dict[TP, int]] = []

    def assignment(self) -> set[TP]:
        """One partition of the jobs topic."""
        return {PLACE}

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(offsets)
        return True


def give_up_partitions(app: PreprocessApp, delivered: asyncio.Event | None) -> Group:
    """One record is taken up; then the partitions go. It is delivered at once, or never."""
    group = Group()

    async def story() -> None:
        follow_into(app)
        done = asyncio.Event() if delivered is None else delivered

        async def deliver(_records: object) -> None:
            await done.wait()

        app._batcher = Batcher(
            lambda _records: [],
            deliver,
            app._gate,
            limits=module._limits(app._settings),
            executor=app._executor,
            on_fatal=app.die,
        )
        running = asyncio.create_task(app._batcher.run())
        await app._take_up(Stream([message(offset=9)]))
        await app._consumer_wait_empty(group, None)
        running.cancel()

    asyncio.run(story())
    return group


def test_what_was_taken_up_is_finished_and_committed_before_partitions_go(app: PreprocessApp) -> None:
    delivered = asyncio.Event()
    delivered.set()
    assert give_up_partitions(app, delivered).committed == [{PLACE: 10}]


def test_what_does_not_finish_in_time_is_left_to_whoever_gets_the_partitions(app: PreprocessApp) -> None:
    assert give_up_partitions(app, None).committed == []


def test_limits_come_from_the_settings(toy_settings: Settings) -> None:
    limits = module._limits(toy_settings)
    assert (limits.batch_records, limits.batch_bytes) == (512, 256 << 10)
    assert (limits.in_flight_records, limits.in_flight_bytes, limits.linger_s) == (8192, 32 << 20, 0.01)


def test_every_topic_that_it_reads_or_writes_must_exist(app: PreprocessApp) -> None:
    jobs, dead_letters, *work = app._topics_needed
    assert (jobs, dead_letters) == ("llmos.jobs", "llmos.dead-letters")
    assert [topic.rpartition(".")[0] for topic in work] == ["llmos.work.toy"]


@pytest.mark.parametrize(
    ("missing", "error"), [("routes_file", ConfigurationError), ("policies_dir", ConfigurationError), ("models_dir", BundleError)]
)
def test_a_mistake_in_a_file_stops_it_before_it_takes_up_anything(
    toy_settings: Settings, tmp_path: Path, ready_file: Path, missing: str, error: type[Exception]
) -> None:
    ready_file.touch()  # a killed process left it behind
    with pytest.raises(error):
        run_preprocess(toy_settings.model_copy(update={"ready_file": ready_file, missing: tmp_path / "none"}))
    assert not ready_file.exists()
