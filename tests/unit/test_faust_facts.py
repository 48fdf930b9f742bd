"""The facts about Faust that docs/decisions/0001-faust.md builds on, looked up in the Faust that is installed.

A failure here is no bug of ours: Faust has changed. Read the decision again, and only then mend the test.
"""

import asyncio
import inspect
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust import streams
from faust.events import Event
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.enums import ProcessingGuarantee
from faust.types.tuples import ConsumerMessage
from intervaltree import IntervalTree

from pipeline.preprocess.app import PreprocessApp
from pipeline.settings import Settings
from tests.support.faust_apps import preprocess_app

PLACE = TP("jobs", 0)
TRIALS = 1000


def decision(what: str) -> str:
    """What a failure means."""
    return f"Faust has changed: {what}. Revisit docs/decisions/0001-faust.md"


@pytest.mark.parametrize(
    ("distribution", "studied"), [("faust-streaming", "0.15.3"), ("mode-streaming", "0.7.1"), ("aiokafka", "0.14.0")]
)
def test_the_versions_are_those_that_were_studied(distribution: str, studied: str) -> None:
    assert version(distribution) == studied, decision(f"{distribution} is another version than the one whose code was read")


class Book:
    """The part of Faust's consumer that keeps the books: its own methods on its own attributes, and a broker's view of it."""

    def __init__(self, committed: int | None = None) -> None:
        self._gap: Any = defaultdict(IntervalTree)
        self._acked: Any = defaultdict(list)
        self._acked_index: Any = defaultdict(set)
        self._committed_offset: Any = defaultdict(lambda: None)
        self._read_offset: Any = defaultdict(lambda: None)
        self._unacked_messages: set[object] = set()
        self._n_acked = 0
        self._waiting_for_ack = None
        self.app = SimpleNamespace(
            topics=SimpleNamespace(acks_enabled_for=lambda _topic: True), consumer=self, consumer_generation_id=1
        )
        self._committed_offset[PLACE] = committed
        self.in_flight: list[ConsumerMessage] = []
        self.unsafe = False
        self.last_commit = committed or 0

    ack = Consumer.ack
    _new_offset = Consumer._new_offset
    _add_gap = Consumer._add_gap

    def deliver(self, offset: int, generation: int = 1) -> Event:
        """The conductor hands one message to one stream."""
        fields: dict[str, Any] = dict.fromkeys(
            ("timestamp_type", "headers", "key", "value", "checksum", "serialized_key_size", "serialized_value_size")
        )
        message = ConsumerMessage("jobs", 0, offset, timestamp=0.0, tp=PLACE, generation_id=generation, **fields)
        message.incref()
        self.in_flight.append(message)
        return Event(self.app, None, None, None, message)  # type: ignore[arg-type]

    def acknowledge(self, place: int = 0) -> None:
        """Acknowledge one of those that are in flight."""
        self.in_flight.pop(place).ack(self)  # type: ignore[arg-type]

    def commit(self) -> int | None:
        """What Faust commits next; notes whether that is beyond something unfinished."""
        offset = self._new_offset(PLACE)  # type: ignore[call-arg]
        committed = self._committed_offset[PLACE]
        if offset is None or (committed is not None and offset <= committed):
            return None
        self._committed_offset[PLACE] = self.last_commit = offset
        self.unsafe |= any(message.offset < offset for message in self.in_flight)
        return offset

    def revoke(self) -> None:
        """Forget, as `on_partitions_revoked` does."""
        for memory in (self._gap, self._acked, self._acked_index, self._read_offset, self._committed_offset):
            memory.pop(PLACE, None)


@pytest.mark.parametrize(
    ("committed", "acked", "in_flight"),
    [(None, (5, 6, 7), range(5)), (0, (5, 6, 7), range(5)), (10, (11, 12), range(10, 11))],
    ids=["nothing committed yet", "zero committed", "one missing"],
)
def test_faust_commits_past_what_is_unfinished_when_acknowledged_out_of_order(
    committed: int | None, acked: tuple[int, ...], in_flight: range
) -> None:
    book = Book(committed)
    for offset in (*in_flight, *acked):
        book.deliver(offset)
    for _ in acked:
        book.acknowledge(len(in_flight))
    assert book.commit() == acked[-1] + 1, decision("it no longer commits past unfinished messages; is the gate still needed?")
    assert book.unsafe


async def trial(rng: random.Random, choose: Callable[[int], int], *, gaps: bool, revokes: bool) -> tuple[bool, bool]:
    """Deliver, acknowledge, commit and revoke at random; (committed past something unfinished, reached the end)."""
    start = rng.choice([0, 0, 5, 1000])
    book = Book(rng.choice([None, start or None]))
    offset, left, read = start, rng.randint(3, 40), start
    while left or book.in_flight:
        dice = rng.random()
        if dice < 0.5 and left:
            offset, left = offset + (rng.randint(1, 4) if gaps and rng.random() < 0.2 else 0), left - 1
            if offset - read > 1 and read:
                await book._add_gap(PLACE, read + 1, offset)  # type: ignore[call-arg]
            book.deliver(offset)
            offset, read = offset + 1, offset
        elif dice < 0.85 and book.in_flight:
            book.acknowledge(choose(len(book.in_flight)))
        elif dice > 0.97 and revokes:
            book.revoke()
        else:
            book.commit()
    for _ in range(4):
        book.commit()
    return book.unsafe, book.last_commit == offset


def trials(choose: Callable[[random.Random], Callable[[int], int]], **options: bool) -> tuple[int, int]:
    """Of `TRIALS` trials, the same every time: how many were unsafe, and how many reached the end."""

    async def run() -> list[tuple[bool, bool]]:
        rng = random.Random(1)
        return [await trial(rng, choose(rng), **options) for _ in range(TRIALS)]

    found = asyncio.run(run())
    return sum(unsafe for unsafe, _ in found), sum(reached for _, reached in found)


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("revokes", [False, True])
def test_acknowledged_in_order_faust_never_commits_past_what_is_unfinished(*, gaps: bool, revokes: bool) -> None:
    unsafe, _ = trials(lambda _: lambda _count: 0, gaps=gaps, revokes=revokes)
    assert unsafe == 0, decision("even acknowledgements in order, which the gate makes sure of, lose messages")


def test_acknowledged_in_order_and_without_gaps_faust_commits_everything() -> None:
    _, reached = trials(lambda _: lambda _count: 0, gaps=False, revokes=False)
    assert reached == TRIALS, decision("a group would never be seen to have read everything")


def test_acknowledged_in_any_order_faust_loses_messages() -> None:
    unsafe, _ = trials(lambda rng: rng.randrange, gaps=False, revokes=False)
    assert unsafe > TRIALS // 2, decision("it bears acknowledgements in any order now; is the gate still needed?")


def test_with_gaps_between_offsets_the_last_commit_may_stay_behind() -> None:
    _, reached = trials(lambda _: lambda _count: 0, gaps=True, revokes=False)
    assert reached < TRIALS, decision("gaps do no harm now; may the jobs topic be compacted, or written by transactions?")


def test_an_event_is_acknowledged_once_however_often_it_is_asked_to() -> None:
    book = Book()
    event = book.deliver(0)
    assert event.ack()
    assert not event.ack()
    assert (book._acked[PLACE], book._n_acked) == ([0], 1), decision("acknowledging twice counts twice")


def test_an_event_waits_for_every_stream_that_has_it() -> None:
    book = Book()
    event = book.deliver(0)
    event.message.incref()
    assert not event.ack()
    assert book._acked[PLACE] == []
    assert event.ack()
    assert book._acked[PLACE] == [0], decision("one acknowledgement is not one acknowledgement any more")


def test_an_acknowledgement_is_not_asked_for_its_generation() -> None:
    book = Book()
    stale = book.deliver(7, generation=1)
    book.app.consumer_generation_id = 2
    stale.ack()
    assert book._acked[PLACE] == [7], decision("it refuses stale acknowledgements now; the gate need not")


def test_an_acknowledgement_below_what_is_committed_is_forgotten() -> None:
    book = Book(committed=5)
    book.deliver(4).ack()
    assert book._acked[PLACE] == [], decision("it may commit backwards")


def test_a_revoke_forgets_what_was_acknowledged_and_not_committed() -> None:
    source = inspect.getsource(Consumer.on_partitions_revoked)
    forgotten = [name for name in ("_acked", "_acked_index", "_committed_offset", "_gap") if f"self.{name}.pop(tp" in source]
    assert len(forgotten) == 4, decision("a revoke keeps acknowledgements; preprocess need not commit them itself")


def test_streams_run_in_cython() -> None:
    assert streams._CStreamIterator is not None, decision(
        "its compiled streams are not installed, and the others acknowledge events of old generations"
    )
    assert streams._CStreamIterator.__module__ == "faust._cython.streams"


async def stream_of(values: list[bytes], generation: int) -> tuple[list[bytes], list[bytes]]:
    """What a stream without acknowledgements gives of messages of that generation, and what of it was acknowledged."""
    app = faust.App("facts", broker="kafka://127.0.0.1:9", store="memory://", autodiscover=False, web_enabled=False)
    app.finalize()
    app.flow_control.resume()
    app.consumer_generation_id = 2
    acknowledged: list[bytes] = []

    class Noted(ConsumerMessage):
        def ack(self, *_: object) -> bool:
            acknowledged.append(self.value)  # type: ignore[arg-type]
            return True

    stream = app.channel(value_type=bytes).stream().noack()
    for number, value in enumerate([*values, b"last"]):
        of_generation = 2 if value == b"last" else generation
        rest: dict[str, Any] = dict.fromkeys(("headers", "key", "checksum", "serialized_key_size", "serialized_value_size"))
        message = Noted("jobs", 0, number, 0.0, 0, value=value, tp=PLACE, generation_id=of_generation, **rest)
        stream.channel.queue.put_nowait(Event(app, None, value, None, message))
    given = []
    async for event in stream.events():
        if event.value == b"last":
            break
        given.append(event.value)
    app.consumer._thread.thread_loop.close()  # made for a thread that never starts
    return given, acknowledged


def test_a_stream_without_acknowledgements_acknowledges_nothing() -> None:
    given, acknowledged = asyncio.run(stream_of([b"a", b"b"], generation=2))
    assert given == [b"a", b"b"]
    assert acknowledged == [], decision("noack() acknowledges, before anything is delivered")


def test_a_stream_drops_events_of_an_old_generation_and_does_not_acknowledge_them() -> None:
    given, acknowledged = asyncio.run(stream_of([b"a", b"b"], generation=1))
    assert (given, acknowledged) == ([], []), decision("events of old generations reach the agent, or are acknowledged unseen")


@pytest.fixture
def app(toy_settings: Settings, tmp_path: Path) -> Iterator[PreprocessApp]:
    """As a process makes it, but for a broker."""
    with preprocess_app(toy_settings, tmp_path) as app:
        yield app


@pytest.mark.parametrize(
    ("option", "decided"),
    [
        ("processing_guarantee", ProcessingGuarantee.AT_LEAST_ONCE),  # its exactly_once is not atomic
        ("topic_allow_declare", False),
        ("topic_disable_leader", True),
        ("web_enabled", False),
        ("autodiscover", False),
        ("broker_commit_interval", 0.5),
        ("broker_commit_every", 10_000_000),
        ("consumer_auto_offset_reset", "earliest"),
        ("stream_wait_empty", True),
        ("table_standby_replicas", 0),
        ("producer_threaded", False),
        ("stream_publish_on_commit", False),
    ],
)
def test_options_are_as_decided(app: PreprocessApp, option: str, decided: object) -> None:
    assert getattr(app.conf, option) == decided, decision(f"its option {option} is not what was decided")


def test_no_broker_is_waited_for_longer_than_the_session_lasts(app: PreprocessApp) -> None:
    conf = app.conf
    assert conf.broker_heartbeat_interval < conf.broker_session_timeout / 3 <= conf.broker_request_timeout
    assert conf.broker_session_timeout <= conf.broker_request_timeout, "Faust refuses to start else"


def test_the_one_agent_takes_raw_bytes_alone(app: PreprocessApp) -> None:
    (agent,) = app.agents.values()
    jobs = agent.channel
    assert agent.concurrency == 1, decision("several actors acknowledge out of order")
    assert (jobs.get_topic_name(), jobs.key_type, jobs.value_type) == ("llmos.jobs", bytes, bytes)
    assert (jobs.key_serializer, jobs.value_serializer) == ("raw", "raw")
    assert not agent._sinks, decision("sinks are not awaited")
    assert not app.tables, decision("tables need changelogs and recovery")


@pytest.mark.parametrize("value", [b"", b"\xff", b"{", None])
def test_raw_bytes_are_never_refused_by_faust(app: PreprocessApp, value: bytes | None) -> None:
    topic = app.agents["preprocess"].channel
    codecs = app.serializers
    assert codecs.loads_value(topic.value_type, value, serializer=topic.value_serializer) == value, decision(
        "it decodes raw bytes, and acknowledges at once what it cannot decode"
    )


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (faust.App, "_consumer_wait_empty"),
        (faust.App, "_new_transport"),
        (faust.App, "on_first_start"),
        (faust.App, "on_stop"),
        (faust.App, "on_shutdown"),
        (driver.Consumer, "_commit"),
        (driver.Consumer, "_new_consumer_thread"),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
    ],
)
def test_what_we_override_and_call_is_there(owner: type, name: str) -> None:
    assert callable(getattr(owner, name, None)), decision(f"{owner.__name__}.{name} is gone")


def test_partitions_are_given_up_only_when_what_was_taken_up_is_through() -> None:
    for caller in (faust.App._on_partitions_revoked, faust.App._stop_consumer):
        assert "self._consumer_wait_empty" in inspect.getsource(caller), decision(
            "it no longer waits before it gives up partitions"
        )


def test_aiokafka_reads_how_long_a_fetch_may_wait_where_we_set_it() -> None:
    assert "self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start), decision("the fetch wait is set elsewhere")


def test_aiokafka_leaves_its_group_where_we_stop_it_from_leaving() -> None:
    assert "self._maybe_leave_group()" in inspect.getsource(GroupCoordinator.close), decision("it leaves its group elsewhere")
    assert "_maybe_leave_group" in vars(GroupCoordinator)


def test_faust_goes_on_where_the_generation_changed_while_it_sought_its_place() -> None:
    """Why `pipeline/preprocess/succession.py` looks at the first offset of a generation, and at every one after it."""
    resumed_in: list[int] = []

    async def nothing() -> None:
        pass

    async def seek() -> None:
        app.consumer_generation_id = 2  # the next rebalance is through before the answer to this one's question comes

    async def wait(coroutine: Any, timeout: float) -> None:  # noqa: ASYNC109 (Faust's signature)
        await coroutine

    def said(*_: object) -> None:
        pass

    app = SimpleNamespace(
        consumer_generation_id=1,
        conf=SimpleNamespace(broker_request_timeout=1.0),
        consumer=SimpleNamespace(
            assignment=lambda: {PLACE},
            resume_partitions=said,
            perform_seek=seek,
            resume_flow=lambda: resumed_in.append(app.consumer_generation_id),
        ),
        flow_control=SimpleNamespace(resume=said),
        on_rebalance_complete=SimpleNamespace(send=nothing),
        on_rebalance_end=said,
        _fetcher=SimpleNamespace(maybe_start=nothing),
    )
    recovery = SimpleNamespace(
        app=app,
        log=SimpleNamespace(dev=said, info=said, warning=said),
        completed=SimpleNamespace(set=said),
        tables=SimpleNamespace(on_actives_ready=said, on_standbys_ready=said),
        _is_changelog_tp=lambda _: False,
        _wait=wait,
    )
    asyncio.run(Recovery._resume_streams(recovery, generation_id=1))  # type: ignore[arg-type]
    assert resumed_in == [2], decision("it looks again at the generation before it goes on; is the look at offsets still needed?")
