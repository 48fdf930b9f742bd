"""Every way to end has its exit code and one sentence; only a bug shows its insides."""

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import exits
from pipeline.exits import exit_code
from pipeline.health import serving_health
from pipeline.ready import Readiness
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.errors import (
    BundleError,
    ConfigurationError,
    DeadLetterLimitError,
    FatalError,
    LLMOSError,
    MessageError,
    TransientError,
)


def end_of(body: Callable[[], object]) -> int:
    """The exit code of a program that does `body`."""
    with exit_code() as outcome:
        body()
    return outcome.code


def raising(error: BaseException) -> Callable[[], None]:
    """A program that ends with `error`."""

    def run() -> None:
        raise error

    return run


def test_the_codes_are_those_of_the_documentation() -> None:
    documented = {int(line.split()[0]) for line in (exits.__doc__ or "").splitlines() if line[:1].isdigit()}
    assert documented == {0, 1, 2, 3, 4, 5, 65, 70, 75, 130}
    named = (exits.OK, exits.INCOMPLETE, exits.USAGE, exits.CONFIGURATION, exits.BUNDLE, exits.TIMEOUT)
    assert documented == {*named, exits.DEAD_LETTERS, exits.BUG, exits.TRANSIENT, exits.INTERRUPTED}


def test_all_is_well_unless_something_is_said() -> None:
    assert end_of(lambda: None) == 0


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("no such file"), 3),
        (BundleError("damaged"), 4),
        (DeadLetterLimitError("too many"), 65),
        (TransientError("away"), 75),
        (MessageError(Code.EMPTY_TEXT, "empty"), 70),  # belongs in the dead letters: here it is a bug
        (FatalError("over"), 70),
        (LLMOSError("whatever"), 70),
    ],
)
def test_an_error_of_ours_is_its_code_and_one_line(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(raising(error)) == code
    assert capsys.readouterr().err == f"llmos: {error}\n"


def test_a_setting_out_of_range_is_named_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(lambda: Settings(topic_partitions=0, topic_prefix="!")) == 3
    said = capsys.readouterr().err
    assert said.startswith("llmos: topic_prefix: ")
    assert "; topic_partitions: Input should be greater than 0" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError, IsADirectoryError, FileExistsError, NotADirectoryError])
def test_a_file_that_cannot_be_used_is_no_bug(error: type[OSError], capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(raising(error(2, "cannot be used", "some/file"))) == 3
    assert "some/file" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of((tmp_path / "nowhere").read_bytes) == 3
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("odd"), KeyError("odd"), AssertionError("odd"), OSError(5, "odd")])
def test_anything_else_is_a_bug_with_its_traceback(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert end_of(raising(error)) == os.EX_SOFTWARE
    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def serve(port: int) -> None:
    """Begin to serve health."""
    settings = Settings(metrics_port=port)
    with serving_health(settings, Readiness(settings)):
        pass


def test_a_taken_metrics_port_is_no_bug(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert end_of(lambda: serve(port)) == 3
    assert f"metrics port {port}" in capsys.readouterr().err


def test_an_interrupt_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert end_of(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), SystemExit(7)])
def test_who_reads_no_more_and_who_exits_is_let_through(error: BaseException) -> None:
    with pytest.raises(type(error)):
        end_of(raising(error))
