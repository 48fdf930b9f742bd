"""Peers: the environments they live in, and how one is started, fed and stopped."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from benchmarks.support.drive import last_line
from benchmarks.support.plain import headers, record
from benchmarks.support.texts import ROOT
from pipeline.bundles import Bundle

REQUIREMENTS: Final = ROOT / "benchmarks" / "peers"
ENVIRONMENTS: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "llmos-bench"
"""Where the peers' virtual environments are kept from one run to the next."""
_INSTALL_S: Final = 1_800
_READY_S: Final = 120
_STOP_S: Final = 10
_PARTITIONS: Final = 8
"""As many as the pipeline's topics have by default."""
Form = Literal["usual", "tuned"]
FORMS: Final[tuple[Form, ...]] = ("usual", "tuned")


@dataclass(frozen=True, slots=True)
class Peer:
    """What users would take: its module in `benchmarks.peers`, its requirements file there, and what its records look like."""

    name: str
    module: str
    environment: str
    kind: str = "json"


PEERS: Final = (
    Peer("kafka-python, one text a run", "straight", "kafka-python"),
    Peer("kafka-python, batches", "batches", "kafka-python"),
    Peer("Faust, take", "faust_take", "faust"),
    Peer("FastStream", "faststream_app", "faststream"),
    Peer("MLServer, Kafka", "mlserver_runtime", "mlserver", "mlserver"),
)
IN_PROCESS: Final = Peer("transformers pipeline, no Kafka", "transformers_pipeline", "transformers")


class PeerError(Exception):
    """A peer that cannot be measured here; the sentence says why."""


def python_of(peer: Peer) -> Path:
    """The interpreter of the peer's environment, made from its pinned requirements where it is not there; raises PeerError."""
    requirements = REQUIREMENTS / f"requirements-{peer.environment}.txt"
    folder = ENVIRONMENTS / peer.environment
    stamp, wanted = folder / "stamp", hashlib.sha256(requirements.read_bytes()).hexdigest()
    python = folder / "bin" / "python"
    if python.exists() and stamp.exists() and stamp.read_text("utf-8") == wanted:
        return python
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    _run([str(python), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--requirement", str(requirements)])
    stamp.write_text(wanted, "utf-8")
    return python


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(str(error)) from error
    if done.returncode:
        raise PeerError((done.stderr.strip().splitlines() or ["it does not install"])[-1])


@dataclass(frozen=True, slots=True)
class Bench:
    """What every peer is measured with."""

    bootstrap: str
    bundle: Bundle
    folder: Path

    def rate(self, peer: Peer, form: Form, texts: Sequence[str], warm: int) -> float:
        """Texts a second from the first publish to the last result; raises PeerError where it does not start or lose none."""
        python, topics = python_of(peer), [f"{peer.module}-{form}-{end}".replace("_", "-") for end in ("jobs", "results")]
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        admin.create_topics({topic: {"num_partitions": _PARTITIONS, "replication_factor": 1} for topic in topics})
        admin.close()
        with self._running(peer, form, python, topics):
            self._wait_for_an_answer(peer, topics)
            self._through(peer, topics, texts[:warm], "warm")
            return self._through(peer, topics, texts, "text")

    def rate_in_process(self, peer: Peer, form: Form, texts: Sequence[str]) -> float:
        """Texts a second of a peer without Kafka."""
        file = self._file(texts)
        command = [str(python_of(peer)), "-m", f"benchmarks.peers.{peer.module}", str(self.bundle.folder), str(file), form]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(), cwd=ROOT, check=False)
        if done.returncode:
            raise PeerError((done.stderr.strip().splitlines() or ["it failed"])[-1])
        found = json.loads(done.stdout.splitlines()[-1])
        return float(found["texts"] / found["seconds"])

    def _wait_for_an_answer(self, peer: Peer, topics: Sequence[str]) -> None:
        """A peer that begins at the end of its topic is there when it answers what was sent after it has begun."""
        deadline = time.monotonic() + _READY_S
        producer = KafkaProducer(bootstrap_servers=self.bootstrap)
        consumer = KafkaConsumer(topics[1], bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        try:
            while not consumer.poll(timeout_ms=1_000):
                if time.monotonic() > deadline:
                    raise PeerError(f"it does not answer within {_READY_S} s; its log: {self.folder / peer.module}")
                producer.send(topics[0], record("hello", "hello", peer.kind), key=b"hello", headers=headers(peer.kind))
        finally:
            producer.close()
            consumer.close()

    @contextmanager
    def _running(self, peer: Peer, form: Form, python: Path, topics: Sequence[str]) -> Iterator[None]:
        command = [str(python), "-m", f"benchmarks.peers.{peer.module}", "--bootstrap", self.bootstrap, "--form", form]
        command += ["--bundle", str(self.bundle.folder), "--jobs-topic", topics[0], "--results-topic", topics[1]]
        with (self.folder / f"{peer.module}-{form}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment(), cwd=ROOT, start_new_session=True)
        try:
            yield
        finally:
            _stop(process)

    def _through(self, peer: Peer, topics: Sequence[str], texts: Sequence[str], prefix: str) -> float:
        file = self._file(texts)
        with ExitStack() as stack:
            collector = self._plain(stack, "collect", topics[1], str(len(texts)), prefix)
            assert collector.stdout is not None, "it is piped"
            collector.stdout.readline()
            published = last_line(self._plain(stack, "publish", topics[0], str(file), prefix, peer.kind))
            collected = last_line(collector)
        if collected["came"] < len(texts):
            raise PeerError(f"{len(texts) - collected['came']} of {len(texts)} texts did not come back")
        return float(len(texts) / (collected["last"] - published["began"]))

    def _plain(self, stack: ExitStack, what: str, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.support.plain", what, self.bootstrap, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    def _file(self, texts: Sequence[str]) -> Path:
        file = self.folder / "peer-texts.json"
        file.write_text(json.dumps(list(texts)), "utf-8")
        return file

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}


def _stop(process: subprocess.Popen[Any]) -> None:
    """End a peer and what it has started: it leads a session of its own."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
