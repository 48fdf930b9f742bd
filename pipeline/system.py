"""The whole system on one machine: the embedded broker or yours, topics, preprocess apps, workers."""

import fcntl
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from pipeline.embedded import EmbeddedBroker
from pipeline.kafka import BROKER_FILE
from pipeline.settings import Settings
from pipeline.supervise import Child, Supervisor
from pipeline.topics import create_topics
from schemas.errors import ConfigurationError

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class System:
    """What runs; `settings` reach it."""

    settings: Settings
    supervisor: Supervisor
    broker: EmbeddedBroker | None


@contextmanager
def running(settings: Settings, *, preprocess: int, workers: int, kafka_port: int, say: Say) -> Iterator[System]:
    """Everything started and ready inside; drained and stopped outside, in the order preprocess, workers, broker."""
    with ExitStack() as stack:
        stack.enter_context(_alone(settings.state_dir))
        broker = None
        if settings.kafka_bootstrap is None:
            broker = stack.enter_context(EmbeddedBroker(settings.state_dir / "logs" / "broker.log", kafka_port))
            say(f"embedded broker at {broker.bootstrap}")
        bootstrap = settings.kafka_bootstrap or (broker.bootstrap if broker else "")
        reached = settings.model_copy(update={"kafka_bootstrap": bootstrap})
        stack.enter_context(_remembered(settings.state_dir, bootstrap, embedded=broker is not None))
        created, _ = create_topics(reached)
        say(f"{len(created)} topics created, {settings.topic_partitions} partitions each" if created else "topics are there")
        supervisor = Supervisor(_children(reached, preprocess, workers), say, settings.shutdown_grace_s)
        stack.callback(supervisor.stop)
        supervisor.start()
        yield System(reached, supervisor, broker)


def _children(settings: Settings, preprocess: int, workers: int) -> list[Child]:
    stages = [("preprocess", ["-m", "pipeline", "preprocess"], preprocess), ("worker", ["-m", "workers"], workers)]
    return [
        _child(settings, f"{stage}-{number}", arguments) for stage, arguments, count in stages for number in range(1, count + 1)
    ]


def _child(settings: Settings, name: str, arguments: list[str]) -> Child:
    assert settings.kafka_bootstrap is not None, "a running system knows its broker"
    environment = {
        "LLMOS_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "LLMOS_STATE_DIR": str(settings.state_dir),
        "LLMOS_INSTANCE_ID": name,
        "LLMOS_METRICS_PORT": "0",
    }
    log = settings.state_dir / "logs" / f"{name}.log"
    return Child(name, [sys.executable, *arguments], environment, log, settings.state_dir / f"{name}.ready")


@contextmanager
def _alone(state_dir: Path) -> Iterator[None]:
    """One system a state folder; raises ConfigurationError where one runs already."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(f"`llmos up` runs already in {state_dir}; stop it, or name another by --state") from error
        yield


@contextmanager
def _remembered(state_dir: Path, bootstrap: str, *, embedded: bool) -> Iterator[None]:
    """The broker's address where the other commands look for it."""
    file = state_dir / BROKER_FILE
    fresh = file.with_suffix(".new")
    # What was noted beside an earlier embedded broker means nothing to this one, which begins empty.
    started = {"started": uuid4().hex} if embedded else {}
    fresh.write_text(json.dumps({"bootstrap": bootstrap, "embedded": embedded, **started}))
    fresh.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        shutil.rmtree(state_dir / "notes", ignore_errors=True)
