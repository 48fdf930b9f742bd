"""No text of a job gets into a log, whatever goes wrong with it and however much is logged, unless a setting says so."""

import asyncio
import gc
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError

from pipeline.exits import exit_code
from pipeline.gateway.contract import Unavailable
from pipeline.log import configure_logging
from pipeline.preprocess.rules import load_rules
from pipeline.settings import Settings
from pipeline.tracebacks import said, traceback_of
from schemas.codes import Code
from schemas.errors import MessageError, TransientError
from tests.support.desk import FakeDesk
from tests.support.front import make_gateway
from tests.support.records import job_record, toy_stage, work_batches
from tests.support.work import ToyWorker, work_record

MARKER = "xylophone"
OURS = ("pipeline", "pipeline.preprocess.transport", "schemas", "workers", "training")
Log = Callable[[], str]


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is the process's: put back what a test sets."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in ("", *OURS)}
    handlers, root.handlers = root.handlers[:], []
    yield
    root.handlers, logging.raiseExceptions = handlers, True
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def logging_to(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Log:
    """Everything is logged as these settings say; returns what was."""
    stream = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stream)
        configure_logging(Settings(log_level="debug", **settings), "test")
    return stream.getvalue


@pytest.fixture(params=["json", "console"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Log:
    """Everything is logged, in both forms; returns what was."""
    return logging_to(monkeypatch, log_format=request.param)


def quoting(*_: object) -> Any:
    """As libraries fail."""
    raise ValueError(f"invalid literal: {MARKER}")


def test_what_preprocess_refuses_or_breaks_on(log: Log, toy_settings: Settings) -> None:
    rules = replace(load_rules(toy_settings), detect_language=quoting)
    text = f"{MARKER} friend"
    records = [
        job_record({"job_id": "a", "text": text}),
        job_record({"job_id": "b", "text": text, "metadata": {MARKER: "\ud800"}}),
        job_record({"job_id": "c", "text": text, MARKER: 1}),
        job_record({"job_id": "d", "text": text, "language": "en", "deadline": "2020-01-01T00:00:00Z"}),
        job_record({"job_id": "e", "text": text, "language": "en", "reply_to": MARKER}),
        job_record([{"text": MARKER}, MARKER, {"text": [MARKER]}]),
        job_record(f'{{"text": "{MARKER}'.encode()),
        job_record(f'{{"text": "{MARKER}'.encode() + b'\xff"}'),
    ]
    assert toy_stage(toy_settings, rules).run(records)
    found = log()
    assert "preparing job a failed" in found
    assert "ValueError" in found
    assert MARKER not in found


@pytest.mark.parametrize("error", [MemoryError, OSError])
def test_a_machine_that_is_short_of_something(log: Log, toy_settings: Settings, error: type[Exception]) -> None:
    def short(text: str) -> str:
        raise error(text)

    stage = toy_stage(toy_settings, replace(load_rules(toy_settings), detect_language=short))
    with exit_code() as outcome:
        stage.run([job_record({"text": MARKER})])
    assert outcome.code == 75
    assert MARKER not in log()


def test_what_a_model_breaks_on(log: Log, toy_settings: Settings) -> None:
    work = work_batches(toy_stage(toy_settings).run([job_record({"job_id": "a", "text": f"{MARKER} idiot"})]))
    worker = ToyWorker(toy_settings, run=quoting)
    record = replace(work_record(worker.pack("hello")), batch=work[0])
    assert [out.topic for out in worker.scorer.score([record])] == ["llmos.dead-letters"]
    found = log()
    assert "the model failed on one window: ValueError" in found
    assert MARKER not in found


def test_a_bug_that_ends_a_process(log: Log) -> None:
    with exit_code() as outcome:
        try:
            quoting()
        except ValueError as error:
            raise KeyError(MARKER) from error
    found = log()
    assert outcome.code == 70
    assert found.count("Traceback") == 2
    assert "which led to:" in found
    assert found.index("ValueError") < found.index("KeyError")
    assert MARKER not in found


def test_what_goes_wrong_behind_the_gateway(log: Log, tmp_path: Path) -> None:
    desk = FakeDesk()
    desk.failure = ValueError(MARKER)
    with make_gateway(tmp_path, desk).client(raise_server_exceptions=False) as client:
        for path, body in (
            ("/v1/moderations", {"input": MARKER}),
            ("/v1/jobs?wait=1", {"text": MARKER}),
            ("/v1/jobs", {"text": MARKER}),
            ("/v1alpha1/comments:analyze", {"comment": {"text": MARKER}, "requestedAttributes": {"TOXICITY": {}}}),
        ):
            client.post(f"{path}{'&' if '?' in path else '?'}key={MARKER}", json=body)
    found = log()
    assert "a bug, in request" in found
    assert MARKER not in found


def test_what_the_gateway_refuses(log: Log, tmp_path: Path) -> None:
    with make_gateway(tmp_path).client(raise_server_exceptions=False) as client:
        for content in (f'{{"input": "{MARKER}', f'{{"input": {{"{MARKER}": 1}}}}', f'["{MARKER}"]', MARKER):
            for path in ("/v1/moderations", "/v1/jobs", "/v1alpha1/comments:analyze", "/batch"):
                client.post(path, content=content, headers={"content-type": "application/json", "x-request-id": f"a {MARKER}"})
        client.post("/v1/files", files={"file": (f"{MARKER}.jsonl", MARKER)}, data={"purpose": MARKER})
        client.post("/v1/files", content=f"--x\r\n{MARKER}", headers={"content-type": "multipart/form-data; boundary=x"})
        client.post("/v1/moderations", json={"input": f"{MARKER} BURY"}, headers={"authorization": f"Bearer {MARKER}"})
    found = log()
    assert "POST /v1/files" in found
    assert MARKER not in found


def test_tasks_and_callbacks_that_nobody_looks_after(log: Log) -> None:
    async def forgotten() -> None:
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(quoting))
        asyncio.get_running_loop().call_soon(quoting, MARKER)
        await asyncio.wait([task])

    asyncio.run(forgotten())
    gc.collect()
    found = log()
    assert "Task exception was never retrieved" in found
    assert "Exception in callback quoting" in found
    assert MARKER not in found


@pytest.mark.parametrize(
    "name", ["kafka.producer", "aiokafka", "faust.worker", "mode.services", "python_multipart", "unheard.of"]
)
def test_libraries_are_not_heard_below_warnings_nor_quoted_above(log: Log, name: str) -> None:
    library = logging.getLogger(name)
    library.debug("sending %s", MARKER)
    library.info("sending %s", MARKER)
    library.error("crashed: %r", ValueError(MARKER))
    found = log()
    assert "crashed: ValueError" in found
    assert MARKER not in found


def test_a_line_that_cannot_be_formatted(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    handler, *_ = logging.getLogger().handlers  # pytest's own would raise
    handler.handle(logging.LogRecord("workers", logging.ERROR, __file__, 1, "%d", (MARKER,), None))
    assert log() + capsys.readouterr().err == ""


def test_a_setting_lets_errors_speak(monkeypatch: pytest.MonkeyPatch, toy_settings: Settings) -> None:
    log = logging_to(monkeypatch, log_texts=True)
    stage = toy_stage(toy_settings, replace(load_rules(toy_settings), detect_language=quoting))
    stage.run([job_record({"text": "hello"})])
    logging.getLogger("workers").error("failed: %s", ValueError(MARKER))
    found = log()
    assert f"ValueError: invalid literal: {MARKER}" in found
    assert f"failed: {MARKER}" in found


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TransientError("the broker is away"), "TransientError: the broker is away"),
        (Unavailable("Kafka takes nothing"), "Unavailable: Kafka takes nothing"),
        (KafkaTimeoutError("not in 5 s"), "KafkaTimeoutError: KafkaTimeoutError: not in 5 s"),
        (PermissionError(13, "not allowed", "a/file"), "PermissionError: [Errno 13] not allowed: 'a/file'"),
        (TimeoutError(), "TimeoutError"),
        (MessageError(Code.UNKNOWN_FIELD, "not known", MARKER), "MessageError"),
    ],
)
def test_errors_that_quote_no_text_say_what_they_have_to_say(error: Exception, told: str) -> None:
    assert said(error) == told


def test_a_long_chain_of_errors_is_told_from_its_end() -> None:
    error: Exception = ValueError()
    for number in range(50):
        later = OSError(f"number {number}")
        later.__cause__ = error
        error = later
    found = traceback_of(error)
    assert found.count("OSError") == 10
    assert found.endswith("OSError: number 49")


def test_what_was_hidden_on_purpose_stays_hidden() -> None:
    error = OSError("outer")
    error.__context__ = OSError("inner")
    assert "inner" in traceback_of(error)
    error.__suppress_context__ = True
    assert "inner" not in traceback_of(error)
