"""The worker process, whole, on an in-memory Kafka: when it is ready, how it ends, and what it refuses to start with."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import exits
from pipeline.outgoing import Outgoing
from pipeline.ready import Readiness
from pipeline.settings import Settings
from schemas.errors import BundleError, ConfigurationError, TransientError
from schemas.results import InferenceResult
from tests.support.fake_kafka import FakeKafka
from tests.support.toy import NAME, make_toy_bundle
from tests.support.work import ToyWorker
from workers import __main__ as entry
from workers import app
from workers.app import run_worker
from workers.score import WorkRecord

OUTPUTS = ("llmos.results", "llmos.flagged", "llmos.dead-letters")


class FakeTimer:
    """A timer that never goes off."""

    started: list["FakeTimer"] = []  # noqa: RUF012 (shared by all, emptied by the fixture)

    def __init__(self, seconds: float, function: Callable[..., object], args: Sequence[object]) -> None:
        self.seconds = seconds
        self.call = lambda: function(*args)
        self.daemon = False

    def start(self) -> None:
        self.started.append(self)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process may do to itself, and a test may not: logging, signals, timers."""
    monkeypatch.setattr(app, "configure_logging", lambda *_: None)
    monkeypatch.setattr(threading, "Timer", FakeTimer)
    FakeTimer.started.clear()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def settings(toy_settings: Settings, tmp_path: Path) -> Settings:
    return toy_settings.model_copy(update={"kafka_bootstrap": "broker:9092", "ready_file": tmp_path / "ready"})


@pytest.fixture
def worker(settings: Settings) -> ToyWorker:
    return ToyWorker(settings)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch, worker: ToyWorker) -> FakeKafka:
    """All topics, some work, and SIGTERM once nothing more comes."""
    kafka = FakeKafka(**dict.fromkeys(OUTPUTS, 1), **{worker.topic: 2})
    kafka.install(monkeypatch)
    for text in ("hello friend", "you idiot", "casino"):
        kafka.append(worker.topic, worker.pack(text, f"{text} again"))
    kafka.idle = lambda: signal.raise_signal(signal.SIGTERM)
    return kafka


def test_it_works_off_what_is_there_and_drains_when_it_is_told_to_stop(
    kafka: FakeKafka, settings: Settings, worker: ToyWorker
) -> None:
    run_worker(settings)
    results = [InferenceResult.model_validate_json(value) for value in kafka.values("llmos.results")]
    assert {result.job_id: result.verdict for result in results} == {
        "hello friend": "allow",
        "hello friend again": "allow",
        "you idiot": "block",
        "you idiot again": "block",
        "casino": "review",
        "casino again": "review",
    }
    assert len(kafka.records("llmos.flagged")) == 4
    assert kafka.lag(worker.group, worker.topic) == 0
    assert not kafka.groups[worker.group].members, "it left the group"


def test_it_is_ready_from_its_first_partition_until_it_is_told_to_stop(kafka: FakeKafka, settings: Settings) -> None:
    assert settings.ready_file is not None
    settings.ready_file.touch()  # left behind by a process that was killed
    ready: dict[str, list[bool]] = {}
    kafka.step = lambda name: ready.setdefault(name, []).append(settings.ready_file.exists())
    run_worker(settings)
    assert not any(ready["list_topics"])
    assert ready["poll"][0] is False
    assert ready["committed"][0] is True
    assert not settings.ready_file.exists()


def test_stopping_has_a_limit(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    run_worker(settings)
    (grace,) = FakeTimer.started
    assert (grace.seconds, grace.daemon) == (settings.shutdown_grace_s + 3, True)
    exits_: list[int] = []
    monkeypatch.setattr(os, "_exit", exits_.append)
    monkeypatch.setattr(app.logging, "shutdown", lambda: None)
    grace.call()
    assert exits_ == [exits.TRANSIENT]


def test_a_bug_ends_it_uncommitted_with_everything_closed(
    kafka: FakeKafka, settings: Settings, worker: ToyWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(_: Any, records: Sequence[WorkRecord]) -> list[Outgoing]:
        raise ZeroDivisionError

    monkeypatch.setattr("workers.score.Scorer.score", bug)
    with pytest.raises(ZeroDivisionError):
        run_worker(settings)
    assert kafka.lag(worker.group, worker.topic) == len(kafka.records(worker.topic))
    assert not kafka.groups[worker.group].members
    assert settings.ready_file is not None
    assert not settings.ready_file.exists()


def test_a_broker_that_takes_no_results_ends_it_uncommitted(kafka: FakeKafka, settings: Settings, worker: ToyWorker) -> None:
    del kafka.topics["llmos.flagged"]
    kafka.topics["llmos.flagged"] = []  # listed, but nothing can be written
    kafka.refused["llmos.flagged"] = TransientRefusal()
    with pytest.raises(TransientError, match="not confirmed"):
        run_worker(settings)
    assert kafka.lag(worker.group, worker.topic) > 0


class TransientRefusal(app.KafkaError):
    """The leader is moving."""

    retriable = True


def test_a_damaged_bundle_is_refused_before_anybody_is_asked_anything(
    kafka: FakeKafka, settings: Settings, tmp_path: Path
) -> None:
    folder = make_toy_bundle(tmp_path / "models")
    (folder / "model.onnx").write_bytes(b"damaged")
    kafka.step = lambda name: pytest.fail(f"{name} before the bundle was checked")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        run_worker(settings.model_copy(update={"models_dir": tmp_path / "models"}))


def test_a_failing_canary_is_refused_before_anybody_is_asked_anything(
    kafka: FakeKafka, settings: Settings, tmp_path: Path
) -> None:
    folder = make_toy_bundle(tmp_path / "models")
    manifest = folder / "bundle.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"text": "you idiot"', '"text": "you friend"'), "utf-8")
    kafka.step = lambda name: pytest.fail(f"{name} before the bundle was proven")
    with pytest.raises(BundleError, match="canary 'you friend' got allow, expected block"):
        run_worker(settings.model_copy(update={"models_dir": tmp_path / "models"}))


def test_topics_that_never_come_are_named(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    del kafka.topics["llmos.flagged"], kafka.topics["llmos.results"]
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds + 10))
    with pytest.raises(ConfigurationError, match=r"do not exist: llmos\.flagged, llmos\.results; create them"):
        run_worker(settings)


def test_topics_that_come_late_are_waited_for(kafka: FakeKafka, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    del kafka.topics["llmos.flagged"]
    monkeypatch.setattr(time, "sleep", lambda _: kafka.topics.setdefault("llmos.flagged", [[]]))
    run_worker(settings)
    assert len(kafka.records("llmos.flagged")) == 4


def test_without_a_ready_file_nothing_is_announced(toy_settings: Settings) -> None:
    readiness = Readiness(toy_settings)
    readiness.announce(up=True)
    readiness.announce(up=False)


@pytest.mark.parametrize(("model", "code"), [(NAME, exits.OK), ("absent", exits.BUNDLE)])
def test_the_process_says_by_its_exit_code_how_it_ended(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: str, code: int
) -> None:
    monkeypatch.setenv("LLMOS_KAFKA_BOOTSTRAP", "broker:9092")
    monkeypatch.setenv("LLMOS_WORKER_PROVIDER", "cpu")
    monkeypatch.setenv("LLMOS_WORKER_MODEL", model)
    assert entry.main() == code
    assert ("absent" in capsys.readouterr().err) == (code != exits.OK)
