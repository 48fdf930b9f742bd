"""What the stages tell the watchdog of their work: what is finished, and what waits."""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from faust.sensors.base import SensorDelegate
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP
from kafka import TopicPartition
from kafka.errors import CommitFailedError

from pipeline.backlog import Waiting
from pipeline.gateway.progress import ReplyProgress
from pipeline.preprocess.gate import AckGate
from pipeline.preprocess.progress import COMMIT_OVERDUE_S, FaustProgress, position_of
from pipeline.settings import Settings
from tests.support.loops import TOPIC, World
from workers.attempts import Marker
from workers.progress import WorkerProgress

PLACE = ("jobs", 0)
GENERATION = 3


class Broker:
    """A backlog whose answers a test sets."""

    def __init__(self, **ends: int) -> None:
        self.ends = ends
        self.asked: list[Any] = []

    def waiting(self, partitions: Any) -> Mapping[tuple[str, int], Waiting]:
        self.asked.append(partitions)
        return {place: Waiting(0, self.ends[place[0]]) for place in partitions}


def consumer_at(position: int | None, unacked: tuple[int, ...] = ()) -> Any:
    """A Faust consumer whose aiokafka consumer stands at `position`, with messages of these generations in hand."""
    state = SimpleNamespace(position=position, has_valid_position=position is not None)
    subscription = SimpleNamespace(assignment=SimpleNamespace(state_value={PLACE: state}.get))
    inner = SimpleNamespace(_subscription=SimpleNamespace(subscription=subscription))
    messages = [SimpleNamespace(generation_id=generation) for generation in unacked]
    return SimpleNamespace(_thread=SimpleNamespace(_consumer=inner), unacked=messages)


def progress(consumer: Any, *, end: int = 10, clock: Callable[[], float] = time.monotonic) -> tuple[FaustProgress, AckGate]:
    """Of an app with this consumer, one partition, and a broker whose log ends there."""
    gate = AckGate(lambda: GENERATION)
    app = SimpleNamespace(consumer=consumer, consumer_generation_id=GENERATION)
    found = FaustProgress(app, gate, Broker(jobs=end), clock)  # type: ignore[arg-type]
    found.assigned([TP(*PLACE)])
    return found, gate


@pytest.mark.parametrize(
    ("position", "unacked", "lag"),
    [
        pytest.param(10, (), 0, id="idle"),
        pytest.param(4, (), 6, id="not fetched"),
        pytest.param(None, (), 10, id="without a position, from what is committed"),
        pytest.param(12, (), 0, id="an end that is named too low"),
        pytest.param(10, (GENERATION,) * 3, 3, id="fetched and not acknowledged"),
        pytest.param(10, (GENERATION - 1,) * 3, 0, id="what belongs to nobody or somebody else by now"),
    ],
)
def test_preprocess_lags_by_what_is_not_fetched_or_not_acknowledged(
    position: int | None, unacked: tuple[int, ...], lag: int
) -> None:
    found, _ = progress(consumer_at(position, unacked))
    assert found.lag() == lag
    assert found.counts() == (1, 0)


def test_acknowledged_is_finished_when_a_round_of_commits_has_ended() -> None:
    """A commit that hangs is a standstill, though the stage may go on."""
    found, gate = progress(consumer_at(10))
    gate.acknowledged = 7
    assert (found.counts(), found.lag()) == ((1, 0), 7)
    found.on_commit_completed(None, None)
    assert (found.counts(), found.lag()) == ((1, 7), 0)


def test_nothing_is_taken_up_while_commits_are_overdue() -> None:
    async def told(*, acknowledged: int, since_s: float) -> bool:
        now = 100.0
        found, gate = progress(consumer_at(10), clock=lambda: now)
        gate.acknowledged, now = acknowledged, now + since_s
        waiting = asyncio.create_task(found.committing())
        await asyncio.sleep(0)
        waited = not waiting.done()
        found.on_commit_completed(None, None)
        await waiting
        return waited

    assert asyncio.run(told(acknowledged=1, since_s=COMMIT_OVERDUE_S + 0.1))
    assert not asyncio.run(told(acknowledged=1, since_s=COMMIT_OVERDUE_S - 0.1))
    assert not asyncio.run(told(acknowledged=0, since_s=1000)), "nothing that could come again"


def test_faust_tells_its_sensors_when_a_round_of_commits_has_ended() -> None:
    found, gate = progress(consumer_at(10))
    sensors = SensorDelegate(faust.App("test", broker="kafka://"))
    sensors.add(found)
    gate.acknowledged = 1
    sensors.on_commit_completed(None, sensors.on_commit_initiated(None))
    assert found.counts() == (1, 1)
    commit = inspect.getsource(Consumer.force_commit)
    assert commit.index("on_commit_initiated") < commit.index("_commit_tps") < commit.index("on_commit_completed")


@pytest.mark.parametrize(
    "consumer", [SimpleNamespace(), SimpleNamespace(_thread=SimpleNamespace(_consumer=None)), consumer_at(3)]
)
def test_a_consumer_that_does_not_have_the_partition_has_no_position_on_it(consumer: Any) -> None:
    assert position_of(consumer, ("other", 0)) is None


def test_the_position_is_where_faust_and_aiokafka_keep_it() -> None:
    """Private parts of pinned versions: this fails where a new version moves them."""

    async def look() -> int | None:
        inner = aiokafka.AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        inner._subscription.subscribe({"jobs"})
        inner._subscription.assign_from_subscribed({aiokafka.TopicPartition(*PLACE)})
        thread = SimpleNamespace(_consumer=inner)
        assert position_of(SimpleNamespace(_thread=thread), PLACE) is None
        inner._subscription.seek(aiokafka.TopicPartition(*PLACE), 5)
        found = position_of(SimpleNamespace(_thread=thread), PLACE)
        await inner._client.close()
        inner._closed = True
        return found

    assert asyncio.run(look()) == 5
    assert "self._consumer = self._create_consumer" in inspect.getsource(AIOKafkaConsumerThread.on_start)
    assert "self._thread = self._new_consumer_thread()" in inspect.getsource(faust.transport.consumer.ThreadDelegateConsumer)


def test_a_worker_is_behind_by_what_its_group_has_not_committed() -> None:
    world = World([[["a"], ["b"]], [["c"]]])
    loop, broker = world.loop(), Broker(work=5)
    found = WorkerProgress(loop, lambda: 0, broker)  # type: ignore[arg-type]
    assert found.counts() == (0, 0)
    loop.run(TOPIC)
    assert found.counts() == (2, loop.commits)
    assert loop.commits == 2, "the chunk's mark, and its end"
    assert found.lag() == 10
    assert broker.asked == [loop.assigned]


def test_an_idle_worker_shows_no_sign_of_life_and_a_refused_commit_is_none() -> None:
    world = World([[["a"]]])
    world.kafka.commit_errors = [None, CommitFailedError()]
    loop = world.loop()
    seen: list[int] = []
    world.kafka.idle = lambda: (seen.append(loop.commits), loop.stop() if len(seen) > 5 else None)
    loop.run(TOPIC)
    assert seen == [1] * 6, "only the chunk's mark was taken"


def test_every_run_of_the_model_is_a_sign_of_life() -> None:
    runs = [1]
    found = WorkerProgress(World([[]]).loop(), lambda: runs[0], Broker())  # type: ignore[arg-type]
    before = found.counts()
    runs[0] += 1
    assert found.counts() != before


def test_a_worker_in_a_rejoin_keeps_the_partitions_of_its_last_assignment() -> None:
    """A rejoin that never ends must not look like having nothing to do."""
    world = World([[["a"]], [["b"]]])
    loop = world.loop()
    loop.run(TOPIC)
    world.consumer.evict()
    assert len(loop.assigned) == 2


def test_a_worker_has_in_hand_what_it_works_on_and_nothing_in_the_end() -> None:
    world = World([[["a"], ["b"]], [["c"]]], chunk_tokens=10_000)
    world.kafka.topics[TOPIC][0][1] = world.kafka.topics[TOPIC][0][1]._replace(timestamp=7)
    loop = world.loop()
    found = WorkerProgress(loop, lambda: 0, Broker())  # type: ignore[arg-type]
    seen: list[tuple[int, int | None]] = []
    world.kafka.step = lambda name: seen.append((found.in_hand(), found.oldest_ms())) if name == "score" else None
    loop.run(TOPIC)
    assert seen == [(3, 7)]
    assert (found.in_hand(), found.oldest_ms()) == (0, None)
    assert found.partitions() == {(TOPIC, 0): None, (TOPIC, 1): None}


def test_what_is_recovered_is_in_hand_as_well() -> None:
    world = World([[["a"], ["b"]]])
    world.mark(Marker(2).dump())
    loop = world.loop()
    seen: list[list[int]] = []
    world.kafka.step = lambda name: seen.append([record.offset for record in loop.in_hand]) if name == "score" else None
    loop.run(TOPIC)
    assert seen == [[0], [1]]
    assert loop.in_hand == ()


def test_the_gateway_reads_on_where_its_replies_say() -> None:
    replies = SimpleNamespace(positions={TopicPartition("replies", 1): 5})
    found = ReplyProgress(Settings(), replies)  # type: ignore[arg-type]
    assert found.positions() == {("replies", 1): 5}
