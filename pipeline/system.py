"""The whole system on one machine: the embedded broker or yours, topics, preprocess apps, workers, the HTTP gateway."""

import json
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from pipeline.embedded import EmbeddedBroker, free_port
from pipeline.gateway.place import http_url
from pipeline.kafka import BROKER_FILE
from pipeline.locks import held
from pipeline.settings import Settings
from pipeline.supervise import Child, Supervisor
from pipeline.topics import create_topics
from schemas.errors import ConfigurationError

Say = Callable[[str], None]
GATEWAY: Final = "gateway"
"""The name of the one gateway that a system has."""
GATEWAY_FILE: Final = "gateway.json"
"""In the state folder: where the gateway is that `llmos up` last started."""


@dataclass(frozen=True, slots=True)
class System:
    """What runs; `settings` reach it."""

    settings: Settings
    supervisor: Supervisor
    broker: EmbeddedBroker | None
    gateway_url: str | None


@contextmanager
def running(
    settings: Settings, *, preprocess: int, workers: int, kafka_port: int, http_port: int | None, say: Say
) -> Iterator[System]:
    """Everything started and ready inside; drained and stopped outside, in the order gateway, preprocess, workers, broker.

    No gateway where `http_port` is None.
    """
    with ExitStack() as stack:
        stack.enter_context(_alone(settings.state_dir))
        broker = None
        if settings.kafka_bootstrap is None:
            broker = stack.enter_context(EmbeddedBroker(settings.state_dir / "logs" / "broker.log", kafka_port))
            say(f"embedded broker at {broker.bootstrap}")
        bootstrap = settings.kafka_bootstrap or (broker.bootstrap if broker else "")
        reached = settings.model_copy(update={"kafka_bootstrap": bootstrap})
        stack.enter_context(_broker_remembered(settings.state_dir, bootstrap, embedded=broker is not None))
        names = [] if http_port is None else [GATEWAY]
        created, _ = create_topics(reached, [f"{settings.reply_prefix}{name}" for name in names])
        say(f"{len(created)} topics created, {settings.topic_partitions} partitions each" if created else "topics are there")
        gateway = [] if http_port is None else [_gateway(reached, http_port)]
        supervisor = Supervisor([*gateway, *_children(reached, preprocess, workers)], say, settings.shutdown_grace_s)
        stack.callback(supervisor.stop)
        supervisor.start()
        url = None if http_port is None else http_url(settings.http_host, http_port)
        if url:
            stack.enter_context(_remembered(settings.state_dir / GATEWAY_FILE, {"url": url}))
        yield System(reached, supervisor, broker, url)


def http_port_of(settings: Settings, asked: int | None) -> int:
    """The port for the gateway: as asked, 0 meaning a free one; else that of the settings if it is free; else a free one.

    It is chosen here and not by the gateway, which would choose another one each time that it is started again. Raises
    ConfigurationError where the one that was asked for is taken.
    """
    port = settings.http_port if asked is None else asked
    if port and _is_free(settings.http_host, port):
        return port
    if asked:
        raise ConfigurationError(f"port {asked} of {settings.http_host} is taken; name another by --http-port")
    return free_port()


def _is_free(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


def _gateway(settings: Settings, port: int) -> Child:
    return _child(settings, GATEWAY, ["-m", "pipeline", "gateway", "--http-port", str(port)])


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
    with held(state_dir, f"`llmos up` runs already in {state_dir}; stop it, or name another by --state"):
        yield


@contextmanager
def _broker_remembered(state_dir: Path, bootstrap: str, *, embedded: bool) -> Iterator[None]:
    # What was noted beside an earlier embedded broker means nothing to this one, which begins empty.
    started = {"started": uuid4().hex} if embedded else {}
    try:
        with _remembered(state_dir / BROKER_FILE, {"bootstrap": bootstrap, "embedded": embedded, **started}):
            yield
    finally:
        shutil.rmtree(state_dir / "notes", ignore_errors=True)


@contextmanager
def _remembered(file: Path, address: Mapping[str, str | bool]) -> Iterator[None]:
    """An address where the other commands look for it."""
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps(address))
    fresh.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
