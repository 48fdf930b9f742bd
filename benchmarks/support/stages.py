"""The pipeline as `llmos up` runs it, its processes and metrics in sight: preprocess apps and workers on a broker."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.support.brokers import Broker
from benchmarks.support.processes import Usage, usage
from pipeline.embedded import free_port
from pipeline.settings import Settings
from pipeline.supervise import Child, Supervisor
from pipeline.topics import create_topics

MODEL: Final = ("workers",)
"""The module of a worker with its model."""
_READY_S: Final = 300


@dataclass(frozen=True, slots=True)
class Batches:
    """What workers have run so far: `tokens` without padding, `padded` with it."""

    tokens: float = 0.0
    padded: float = 0.0
    runs: float = 0.0

    def __sub__(self, other: "Batches") -> "Batches":
        return Batches(self.tokens - other.tokens, self.padded - other.padded, self.runs - other.runs)

    def __add__(self, other: "Batches") -> "Batches":
        return Batches(self.tokens + other.tokens, self.padded + other.padded, self.runs + other.runs)

    @property
    def padding_ratio(self) -> float:
        """Tokens that are run for one that is asked for."""
        return self.padded / self.tokens if self.tokens else 0.0

    def fill(self, budget: int) -> float:
        """How much of the token budget a run takes, on average."""
        return self.padded / self.runs / budget if self.runs else 0.0


@dataclass(frozen=True, slots=True)
class Stages:
    """What runs; `settings` and `environment` reach it."""

    settings: Settings
    environment: Mapping[str, str]
    broker: Broker
    supervisor: Supervisor
    metrics_ports: Mapping[str, int]

    def usage(self) -> dict[str, Usage]:
        """By stage: broker, preprocess, worker."""
        pids = {"broker": list(self.broker.pids), "preprocess": [], "worker": []}
        for child in self.supervisor.children:
            assert child.process is not None, "all are started"
            pids[child.name.partition("-")[0]].append(child.process.pid)
        return {stage: usage(of_stage) for stage, of_stage in pids.items()}

    def batches(self) -> Batches:
        """Of all workers together."""
        return sum((_batches(port) for name, port in self.metrics_ports.items() if name.startswith("worker")), Batches())

    def watch(self) -> None:
        """Raises RuntimeError where a process has died: its figures would be gone."""
        self.supervisor.watch()
        if dead := [child for child in self.supervisor.children if child.deaths]:
            raise RuntimeError(f"{dead[0].name} has died:\n{dead[0].log_tail()}")


@contextmanager
def stages(
    broker: Broker,
    folder: Path,
    *,
    name: str,
    preprocess: int = 1,
    workers: int = 1,
    worker: Sequence[str] = MODEL,
    changes: Mapping[str, str] | None = None,
) -> Iterator[Stages]:
    """Started and ready inside, on topics that begin with `name`; stopped outside. `changes` are settings, as variables."""
    environment = {**broker.environment, "LLMOS_TOPIC_PREFIX": name, **(changes or {})}
    settings = settings_of(environment)
    create_topics(settings)
    kinds = [("preprocess", ["pipeline", "preprocess"], preprocess), ("worker", list(worker), workers)]
    children, ports = [], {}
    for kind, module, count in kinds:
        for number in range(1, count + 1):
            ports[f"{kind}-{number}"] = free_port()
            children.append(_child(f"{kind}-{number}", module, environment, ports[f"{kind}-{number}"], folder / name))
    supervisor = Supervisor(children, lambda sentence: print(sentence, file=sys.stderr), settings.shutdown_grace_s)
    try:
        supervisor.start(_READY_S)
        yield Stages(settings, environment, broker, supervisor, ports)
    finally:
        supervisor.stop()


def settings_of(environment: Mapping[str, str]) -> Settings:
    """The settings of a process with `environment` over ours."""
    ours = {name.removeprefix("LLMOS_").lower(): value for name, value in environment.items() if name.startswith("LLMOS_")}
    return Settings(**ours)  # type: ignore[arg-type]


def _child(name: str, module: list[str], environment: Mapping[str, str], port: int, folder: Path) -> Child:
    ours = {**environment, "LLMOS_INSTANCE_ID": name, "LLMOS_METRICS_PORT": str(port)}
    return Child(name, [sys.executable, "-m", *module], ours, folder / f"{name}.log", folder / f"{name}.ready")


def _batches(port: int) -> Batches:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return batches_in(reply.read().decode())


def batches_in(exposition: str) -> Batches:
    """The counters in what a worker tells Prometheus."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    names = ("llmos_batch_tokens_total", "llmos_batch_padded_tokens_total", "llmos_batch_run_seconds_count")
    return Batches(*(found.get(name, 0.0) for name in names))
