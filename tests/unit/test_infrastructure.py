"""Trouble with Kafka never dead-letters a job, however often it strikes at the same one."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import SimpleNamespace
from typing import Any

import aiokafka.errors
import kafka.errors
import pytest

from pipeline.outgoing import Outgoing
from pipeline.preprocess.batcher import Batcher, Limits
from pipeline.preprocess.gate import AckGate
from pipeline.refusal import failure
from schemas.errors import ConfigurationError, TransientError
from tests.support.loops import ATTEMPTS, World
from tests.support.records import job_record


def errors_of(module: Any) -> Iterator[type[Exception]]:
    """Every error class of a client that can be raised."""
    found = (kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, module.KafkaError))
    yield from (kind for kind in found if kind is not module.BrokerResponseError)


@pytest.mark.parametrize("module", [kafka.errors, aiokafka.errors], ids=["kafka-python", "aiokafka"])
def test_whatever_a_client_raises_is_the_moments_fault_or_the_operators_and_never_the_jobs(module: Any) -> None:
    kinds = list(errors_of(module))
    assert len(kinds) > 50
    for kind in kinds:
        assert isinstance(failure("Kafka", kind.__new__(kind)), TransientError | ConfigurationError), kind


AWAY = (kafka.errors.KafkaConnectionError, kafka.errors.KafkaTimeoutError, kafka.errors.NotEnoughReplicasError)


@pytest.mark.parametrize("asked", ["poll", "committed", "commit", "send"])
@pytest.mark.parametrize("error", AWAY)
def test_a_worker_never_buries_a_job_because_kafka_is_away(asked: str, error: type[Exception]) -> None:
    """It is away at every third thing that is asked of it, for many more processes than a poisonous text is given."""
    world = World([[["a", "b"], ["c"]]])
    steps = count(1)

    def away(name: str) -> None:
        if name == asked and next(steps) % 3 == 0 and next(steps) < 10 * ATTEMPTS:
            raise error("away")

    world.kafka.step = away
    world.run_until_done()
    assert not world.buried
    assert set(world.delivered) == world.jobs


@pytest.mark.parametrize("after", [0, 1])
def test_deliveries_that_fail_again_and_again_at_a_lone_job_bury_nobody(after: int) -> None:
    world = World([[["a"]] * (after + 1)])
    world.undelivered = 10 * ATTEMPTS
    world.run_until_done()
    assert not world.buried


class Event:
    """A Faust event; whether it was acknowledged."""

    def __init__(self) -> None:
        self.message = SimpleNamespace(tp=("jobs", 0), generation_id=1)
        self.acknowledged = False

    def ack(self) -> bool:
        self.acknowledged = True
        return True


async def batch(deliver: Callable[[Sequence[Outgoing]], Any], run: Callable[..., Any]) -> tuple[Event, list[BaseException]]:
    """One record through a batcher: its event, and what ended the process."""
    event, ended, over = Event(), list[BaseException](), asyncio.Event()

    def end(error: BaseException) -> None:
        ended.append(error)
        over.set()

    limits = Limits(batch_records=10, batch_bytes=1_000, in_flight_records=10, in_flight_bytes=1_000, linger_s=0)
    gate = AckGate(lambda: 1)
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(run, deliver, gate, limits=limits, executor=executor, on_fatal=end)
        task = asyncio.create_task(batcher.run())
        await batcher.put(gate.admit(event), job_record({"text": "hello"}))  # type: ignore[arg-type]
        await asyncio.wait_for(over.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return event, ended


@pytest.mark.parametrize("error", [TransientError("not confirmed"), ConfigurationError("refused"), OSError("broken pipe")])
def test_preprocess_acknowledges_nothing_that_kafka_did_not_take(error: Exception) -> None:
    async def deliver(_: Sequence[Outgoing]) -> None:
        raise error

    event, ended = asyncio.run(batch(deliver, lambda _: [Outgoing("work", None, b"")]))
    assert (event.acknowledged, ended) == (False, [error])


def test_preprocess_delivers_nothing_of_a_batch_that_trouble_broke() -> None:
    delivered: list[Outgoing] = []

    async def deliver(records: Sequence[Outgoing]) -> None:
        delivered.extend(records)

    def run(_: object) -> list[Outgoing]:
        raise TransientError("the machine is short of something")

    event, ended = asyncio.run(batch(deliver, run))
    assert (event.acknowledged, delivered, len(ended)) == (False, [], 1)
