"""Logs: one line an event, on stderr, with all that a search needs and never the text of a job."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from pipeline.log import JsonLines, configure_logging
from pipeline.settings import Settings
from pipeline.spans import mark
from schemas.dead_letters import DeadLetter
from schemas.errors import MessageError
from schemas.jobs import parse_job
from schemas.work import WorkDescription
from tests.support.traces import Spans, traceparent

LOG = logging.getLogger("pipeline.somewhere")
LIBRARIES = ("kafka", "aiokafka", "faust", "mode", "asyncio", "uvicorn", "python_multipart", "opentelemetry", "unheard_of")
SET = ("pipeline", "pipeline.preprocess.transport", "schemas", "workers", "training")
"""Loggers that get a level of their own."""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Logging is the process's: put back what a test sets."""
    root, levels = logging.getLogger(), {name: logging.getLogger(name).level for name in SET}
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    root.handlers, logging.raiseExceptions = handlers, True
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture(autouse=True)
def _untouched_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process finds them: other tests may have given them levels and handlers."""
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "level", logging.NOTSET)
    logging.getLogger().manager._clear_cache()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What was logged since it was last asked, a line each."""

    def read() -> list[str]:
        return capsys.readouterr().err.rstrip("\n").split("\n")

    return read


def configure(log_format: str = "json", log_level: str = "info", *, log_texts: bool = False) -> None:
    """Log as the process `worker`."""
    configure_logging(Settings(log_format=log_format, log_level=log_level, log_texts=log_texts), "worker")


def test_a_json_line_holds_all_that_a_search_needs(lines: Callable[[], list[str]]) -> None:
    configure()
    LOG.warning("partition %d moved: %s", 3, "你好\n\u2028\x1b[31m")
    (line,) = lines()
    found = json.loads(line)
    assert datetime.strptime(found.pop("time"), "%Y-%m-%dT%H:%M:%S%z").tzinfo is not None
    assert found.pop("pid") > 0
    assert found == {
        "level": "warning",
        "process": "worker",
        "logger": "pipeline.somewhere",
        "message": "partition 3 moved: 你好\n\u2028\x1b[31m",
    }


def test_a_traceback_stays_on_its_line(lines: Callable[[], list[str]]) -> None:
    configure()
    try:
        int("odd")
    except ValueError:
        LOG.exception("failed")
    (line,) = lines()
    said = json.loads(line)["traceback"]
    assert said.startswith("Traceback (most recent call last):\n  File ")
    assert "ValueError: " in said.splitlines()[-1]


def test_half_of_a_surrogate_pair_does_not_stop_the_log() -> None:
    record = logging.LogRecord("a", logging.INFO, __file__, 1, "odd: %s", ("\ud800",), None)
    line = JsonLines().format(record).encode(sys.__stderr__.encoding, sys.__stderr__.errors)  # type: ignore[union-attr]
    assert json.loads(line)["message"] == "odd: \ud800"


def test_lines_for_people_name_the_process(lines: Callable[[], list[str]]) -> None:
    configure("console")
    LOG.info("ready")
    (line,) = lines()
    assert "worker[" in line
    assert line.endswith("] ready")
    assert "INFO" in line


@pytest.mark.parametrize(("level", "said"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_is_the_least_that_is_said(lines: Callable[[], list[str]], level: str, said: int) -> None:
    configure(log_level=level)
    for speak in (LOG.debug, LOG.info, LOG.warning, LOG.error):
        speak("hello")
    assert len(lines()) == said


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("level", ["debug", "info", "error"])
def test_libraries_speak_up_from_warnings_on(lines: Callable[[], list[str]], name: str, level: str) -> None:
    configure(log_level=level)
    library = logging.getLogger(f"{name}.inside")
    library.info("chatter")
    library.warning("trouble")
    library.error("ruin")
    assert [json.loads(line)["message"] for line in lines()] == (["ruin"] if level == "error" else ["trouble", "ruin"])


def test_configuring_twice_says_nothing_twice(lines: Callable[[], list[str]]) -> None:
    configure()
    configure()
    LOG.info("once")
    assert len(lines()) == 1


def test_logs_do_not_mix_with_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure()
    LOG.info("ready")
    assert capsys.readouterr().out == ""
    assert sys.stderr is not sys.stdout


def test_a_json_line_names_the_span_that_it_falls_into(lines: Callable[[], list[str]]) -> None:
    configure()
    logging.getLogger().handlers[0].addFilter(mark)
    with Spans().tracing.request("POST", traceparent(7)):
        LOG.info("inside")
    LOG.info("outside")
    inside, outside = map(json.loads, lines())
    assert (inside["trace_id"], len(inside["span_id"])) == (f"{7:032x}", 16)
    assert outside.keys().isdisjoint({"trace_id", "span_id"})


@pytest.mark.parametrize(
    "fail",
    [
        lambda: parse_job({"text": "my secret", "colour": 1}),
        lambda: parse_job({"text": ["my secret"]}),
        lambda: parse_job({"text": "a", "metadata": {"a": "my secret" * 3_000}}),
        lambda: WorkDescription.model_validate_json('{"packed_ms":1,"items":[{"job":{"text":"my secret"}}]}'),
        lambda: DeadLetter.model_validate({"original": {"value": {"data": "my secret"}}}),
    ],
)
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_traceback_of_a_bad_message_does_not_hold_its_text(
    lines: Callable[[], list[str]], fail: Callable[[], object], log_format: str
) -> None:
    configure(log_format, log_texts=True)  # even then: our messages hide what they were given
    try:
        fail()
    except (MessageError, ValueError):
        LOG.exception("failed")
    said = "\n".join(lines())
    # The traceback quotes this file's own lines; what it quotes of values comes after the exception's name.
    assert "rror: " in said
    assert not any("secret" in line for line in said.replace("\\n", "\n").splitlines() if "lambda" not in line)


def test_a_library_that_repeats_itself_is_heard_once_in_a_while(
    lines: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.log.time.monotonic", lambda: now[0])
    configure_logging(Settings(), "worker")
    for _ in range(1000):
        logging.getLogger("kafka.net").error("%s: connection lost", "node 1")
    assert len(lines()) == 1
    now[0] += 5
    logging.getLogger("kafka.net").error("%s: connection lost", "node 2")
    assert "node 2" in lines()[0]


def test_we_may_repeat_ourselves(lines: Callable[[], list[str]]) -> None:
    configure_logging(Settings(), "worker")
    for _ in range(3):
        LOG.warning("waiting for topics")
    assert len(lines()) == 3
