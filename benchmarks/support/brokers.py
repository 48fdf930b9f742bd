"""The broker that a benchmark runs on: Apache Kafka where one is found, as for the tests, else the embedded broker."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.support.processes import children
from tests.support.brokers import VARIABLE, ApacheKafka, embedded_broker, kafka_folder


@dataclass(frozen=True, slots=True)
class Broker:
    """`environment` reaches it; `pids` are its processes, none for one that runs elsewhere."""

    name: str
    environment: dict[str, str]
    pids: tuple[int, ...]

    @property
    def bootstrap(self) -> str:
        """HOST:PORT."""
        return self.environment["LLMOS_KAFKA_BOOTSTRAP"]


@contextmanager
def any_broker(state: Path) -> Iterator[Broker]:
    """A broker of its own, stopped at the end, or the one that `LLMOS_TEST_KAFKA` names."""
    named, folder = os.environ.get(VARIABLE, ""), kafka_folder()
    if ":" in named and not Path(named).exists():
        yield Broker("Apache Kafka elsewhere", {"LLMOS_KAFKA_BOOTSTRAP": named, "LLMOS_STATE_DIR": str(state)}, ())
    elif folder:
        with _apache(folder, state) as broker:
            yield broker
    else:
        before = children(os.getpid())
        with embedded_broker(state) as environment:
            yield Broker("embedded", environment, tuple(children(os.getpid()) - before))


@contextmanager
def _apache(folder: Path, state: Path) -> Iterator[Broker]:
    kafka = ApacheKafka(folder, state / "kafka")
    kafka.start()
    try:
        environment = {"LLMOS_KAFKA_BOOTSTRAP": kafka.bootstrap, "LLMOS_STATE_DIR": str(state)}
        yield Broker("Apache Kafka", environment, tuple(node["pid"] for node in kafka.described["nodes"]))
    finally:
        kafka.stop("--kill")
