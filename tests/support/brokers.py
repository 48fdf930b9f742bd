"""Brokers for tests: a real Apache Kafka where there is one, else the embedded broker.

Looked for in this order: `LLMOS_TEST_KAFKA` as HOST:PORT of a running broker or as a folder with `kafka.py`, then
`../shared/kafka` beside the repository; a folder also needs a Java runtime. Only a folder's broker can be killed,
restarted, clustered or secured.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline import embedded
from pipeline.kafka import BROKER_FILE
from schemas.errors import ConfigurationError

VARIABLE: Final = "LLMOS_TEST_KAFKA"
_BESIDE: Final = Path(__file__).resolve().parents[2].parent / "shared" / "kafka"
HOW_TO_GET_ONE: Final = f"needs Apache Kafka: set {VARIABLE} to HOST:PORT of a broker, or to a folder whose kafka.py starts one"


class ApacheKafka:
    """A broker, or a cluster, started from a folder; its log outlives a stop."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._command = [sys.executable, str(folder / "kafka.py")]
        self._state = state
        self.described: dict[str, Any] = {}

    @property
    def bootstrap(self) -> str:
        """HOST:PORT[,HOST:PORT…] of the plain listeners."""
        return str(self.described["bootstrap"])

    @property
    def secure_bootstrap(self) -> str:
        """The same of the listeners with TLS."""
        return str(self.described["secure_bootstrap"])

    @property
    def ca_file(self) -> Path:
        """PEM file of the authority that signed the brokers."""
        return Path(self.described["ca"])

    def start(self, *options: str) -> None:
        """Start all nodes, or what `options` name; returns when they answer."""
        output = self._run("start", *options)
        self.described = self.described or json.loads(output.splitlines()[-1])

    def stop(self, *options: str) -> None:
        """Stop; `--kill` kills, `--node N` means one of a cluster."""
        self._run("stop", *options)

    def _run(self, action: str, *options: str) -> str:
        command = [*self._command, action, "--dir", str(self._state), *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout


def kafka_folder() -> Path | None:
    """Where a real broker can be started from, if anywhere."""
    named = os.environ.get(VARIABLE, "")
    folder = Path(named) if named else _BESIDE
    return folder if (folder / "kafka.py").is_file() and shutil.which("java") else None


@contextmanager
def apache_kafka(state: Path, *options: str) -> Iterator[ApacheKafka]:
    """A broker of its own, stopped at the end; skips the test where none can be started."""
    folder = kafka_folder()
    if folder is None:
        pytest.skip(HOW_TO_GET_ONE)
    broker = ApacheKafka(folder, state)
    broker.start(*options)
    try:
        yield broker
    finally:
        broker.stop("--kill")


@contextmanager
def any_broker(state: Path) -> Iterator[dict[str, str]]:
    """Settings, as environment variables, of whatever broker there is; fails in CI where there is none at all."""
    named = os.environ.get(VARIABLE, "")
    if ":" in named and not Path(named).exists():
        yield {"LLMOS_KAFKA_BOOTSTRAP": named}
    elif kafka_folder():
        with apache_kafka(state) as kafka:
            yield {"LLMOS_KAFKA_BOOTSTRAP": kafka.bootstrap}
    else:
        with embedded_broker(state) as environment:
            yield environment


def need_embedded_broker() -> None:
    """Skips where the platform has no embedded broker, but fails in CI."""
    try:
        embedded._binary()
    except ConfigurationError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@contextmanager
def embedded_broker(state: Path) -> Iterator[dict[str, str]]:
    """Settings, as environment variables, of an embedded broker, remembered in `state`; see `need_embedded_broker`."""
    need_embedded_broker()
    with embedded.EmbeddedBroker(state / "embedded.log") as broker:
        (state / BROKER_FILE).write_text(json.dumps({"bootstrap": broker.bootstrap, "embedded": True}), "utf-8")
        yield {"LLMOS_KAFKA_BOOTSTRAP": broker.bootstrap, "LLMOS_STATE_DIR": str(state)}
