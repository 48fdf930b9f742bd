"""The gateway's desk over an in-memory Kafka: what it publishes, stages that answer, sinks that keep, restarts."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.gateway.contract import Outcome
from pipeline.gateway.desk import KafkaDesk
from pipeline.settings import Settings
from schemas.jobs import TextJob, parse_job
from tests.support.desk import outcome_of
from tests.support.fake_kafka import FakeKafka

JOBS, REPLIES, RESULTS, DEAD = "llmos.jobs", "llmos.replies.gateway", "llmos.results", "llmos.dead-letters"
WAIT_S: Final = 20


def story(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """A test that is told on an event loop."""

    @wraps(test)
    def told(*args: Any, **fixtures: Any) -> None:
        asyncio.run(test(*args, **fixtures))

    return told


async def until(condition: Callable[[], object], what: str) -> None:
    """The condition holds, at last."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {WAIT_S} s: {what}"
        await asyncio.sleep(0.001)


class FakeSink:
    """Keeps what it is given; waits for what a test says."""

    def __init__(self) -> None:
        self.took: list[Outcome] = []
        self.waits_for: Sequence[str] = ()
        self.error: Exception | None = None
        self.watching: Callable[[], object] = lambda: None

    def take(self, outcomes: Sequence[Outcome]) -> None:
        self.watching()
        if self.error:
            raise self.error
        self.took += outcomes

    def waiting(self) -> Sequence[str]:
        return self.waits_for

    @property
    def ids(self) -> list[str]:
        """Of the jobs whose outcome it got."""
        return [outcome.job_id for outcome in self.took]


class GatewayWorld:
    """A broker with the topics of a gateway, the folder that it keeps, and one sink."""

    def __init__(self, kafka: FakeKafka, folder: Path) -> None:
        self.kafka = kafka
        self.folder = folder
        self.settings = Settings(kafka_bootstrap="broker:9092", state_dir=folder)
        self.sink = FakeSink()
        self.ended: list[Exception] = []
        self.desk: KafkaDesk

    @asynccontextmanager
    async def running(self, **changes: object) -> AsyncIterator[KafkaDesk]:
        """A desk that has started; stopped at the end."""
        self.desk = KafkaDesk(self.settings.model_copy(update=changes), self.folder, self.ended.append)
        try:
            await self.desk.start([self.sink])
            yield self.desk
        finally:
            await self.desk.stop()

    @property
    def jobs(self) -> list[TextJob]:
        """All that lies in the jobs topic."""
        found: list[TextJob] = []
        for value in self.kafka.values(JOBS):
            read = json.loads(value)
            found += [parse_job(one) for one in (read if isinstance(read, list) else [read])]
        return found

    async def published(self, count: int) -> list[TextJob]:
        """All jobs, once there are so many."""
        await until(lambda: len(self.jobs) >= count, f"{count} jobs")
        return self.jobs

    def reply(self, jobs: Iterable[TextJob], topic: str = REPLIES) -> None:
        """As the stages would, to every one of these."""
        for job in jobs:
            self.kafka.append(topic, outcome_of(job).value, job.job_id.encode())


def make_gateway_world(monkeypatch: pytest.MonkeyPatch, folder: Path) -> GatewayWorld:
    """A world whose consumers wait a moment where nothing comes, as real ones do."""
    kafka = FakeKafka(**{JOBS: 2, REPLIES: 2, RESULTS: 2, DEAD: 1})
    kafka.install(monkeypatch)
    kafka.now_ms = time.time_ns() // 1_000_000
    nothing = threading.Event()
    kafka.idle = lambda: nothing.wait(0.001)
    return GatewayWorld(kafka, folder)


def job(name: str, text: str = "hello friend") -> TextJob:
    """A job that is called so."""
    return TextJob(job_id=name, text=text)


def jobs(count: int, name: str = "job") -> list[TextJob]:
    """Some."""
    return [job(f"{name}-{number}") for number in range(count)]
