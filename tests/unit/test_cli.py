"""The command line as a person meets it: help, exit codes, and what it does without a broker."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from pipeline.cli import results
from pipeline.cli.common import parse_since, plain
from pipeline.cli.dead_letters import _editor
from pipeline.cli.main import app
from pipeline.embedded import free_port
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from schemas.export import MESSAGES
from schemas.results import InferenceResult
from tests.contract.samples import golden


def llmos(*arguments: str, **environment: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, arguments, env=environment)


def commands(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Every command and sub-command, as its words."""
    yield names
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *names, name)


COMMANDS = list(commands(typer.main.get_command(app)))


def test_every_command_of_the_product_is_there() -> None:
    assert {" ".join(words) for words in COMMANDS} == {
        *("", "up", "demo", "publish", "results", "preprocess", "worker", "gateway", "settings", "health", "canary"),
        *("dead-letters", "dead-letters list", "dead-letters show", "dead-letters replay"),
        *("topics", "topics create", "topics describe", "models", "models list", "models verify", "schemas", "schemas export"),
        *("policy", "policy check", "policy show", "policy replay", "keys", "keys create", "keys list", "keys revoke"),
    }


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(words: tuple[str, ...], option: str) -> None:
    result = llmos(*words, option)
    assert result.exit_code == 0, result.output
    assert "Usage: " in result.output
    assert len(result.output.splitlines()) > 5


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_wrong_usage(words: tuple[str, ...]) -> None:
    assert llmos(*words, "--no-such-option").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("cook",),
        ("publish",),
        ("publish", "a", "b"),
        ("publish", "a", "--format", "xml"),
        ("publish", "a", "--timeout", "soon"),
        ("results", "--format", "yaml"),
        ("dead-letters", "list", "--code", "bad_luck"),
        ("dead-letters", "list", "--limit", "0"),
        ("dead-letters", "show"),
        ("models", "verify"),
        ("policy", "check"),
        ("policy", "replay"),
        ("policy", "replay", "a", "--examples", "-1"),
        ("schemas", "export"),
        ("up", "--workers", "-1"),
        ("up", "--http-port", "70000"),
        ("gateway", "--http-port", "-1"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...]) -> None:
    assert llmos(*words).exit_code == 2


@pytest.mark.parametrize(
    "words", [(), ("topics",), ("models",), ("policy",), ("keys",), ("schemas",), ("dead-letters",)], ids=" ".join
)
def test_a_group_without_a_command_shows_its_help(words: tuple[str, ...]) -> None:
    assert "Usage: " in llmos(*words).output


def test_the_help_names_the_exit_codes() -> None:
    output = " ".join(llmos("--help", COLUMNS="200").output.split())
    for code in ("0 done", "2 wrong usage", "75 Kafka is away", "130 interrupted"):
        assert code in output


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def test_the_program_runs_on_its_own_and_tells_its_version() -> None:
    done = program("--version")
    assert (done.returncode, done.stdout) == (0, f"llmos {version('llmos')}\n")
    assert program("cook").returncode == 2


def test_the_settings_are_all_shown_for_machines() -> None:
    result = llmos("settings", "--json")
    assert result.exit_code == 0
    assert [row["setting"] for row in json.loads(result.stdout)] == list(Settings.model_fields)


def test_the_schemas_are_written_into_a_new_folder(tmp_path: Path) -> None:
    result = llmos("schemas", "export", str(tmp_path / "new"), COLUMNS="300")
    assert result.exit_code == 0
    written = sorted(file.name for file in (tmp_path / "new").iterdir())
    assert written == sorted([*(f"{name}.schema.json" for name in (*MESSAGES, "text-jobs")), "asyncapi.json"])
    assert all(name in result.stdout for name in written)


def test_the_models_are_listed_and_verified(toy_settings: Settings) -> None:
    rows = json.loads(llmos("models", "list", "--json").stdout)
    assert [(row["name"], row["release"], row["graphs"]) for row in rows] == [("toy", "1.0.0", ["fp32"])]
    assert "toy" in llmos("models", "list", COLUMNS="200").stdout
    assert llmos("models", "verify", "toy").exit_code == 0


@pytest.fixture
def row_file(tmp_path: Path) -> str:
    """A file with one job."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text":"hello"}\n', "utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("publish", "nowhere.jsonl"), 3, "nowhere.jsonl"),
        (("publish", "."), 3, "."),
        (("publish", "FILE"), 3, "llmos up"),
        (("publish", "FILE", "--bootstrap", "here:port"), 3, "HOST:PORT"),
        (("publish", "FILE", "--tenant", "", "--bootstrap", "127.0.0.1:1"), 3, "tenant"),
        (("publish", "FILE", "--wait", "--output", "no/such/folder", "--bootstrap", "127.0.0.1:1"), 3, "no/such/folder"),
        (("results",), 3, "llmos up"),
        (("results", "--since", "soon"), 3, "--since"),
        (("results", "--since", "99999999999d"), 3, "--since"),
        (("dead-letters", "replay"), 3, "say which"),
        (("dead-letters", "list"), 3, "llmos up"),
        (("topics", "create"), 3, "llmos up"),
        (("topics", "create", "--gateway", "a b", "--bootstrap", "127.0.0.1:1"), 3, "instance_id"),
        (("models", "verify", "nowhere"), 4, "nowhere"),
        (("schemas", "export", "FILE"), 3, "FILE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_what_cannot_work_is_said_in_a_sentence(
    toy_settings: Settings, row_file: str, words: tuple[str, ...], code: int, said: str
) -> None:
    result = llmos(*(row_file if word == "FILE" else word for word in words))
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("llmos: ")
    assert said.replace("FILE", row_file) in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("words", [("publish", "FILE"), ("results", "--follow"), ("topics", "create")], ids=" ".join)
def test_without_a_broker_trying_again_may_help(toy_settings: Settings, row_file: str, words: tuple[str, ...]) -> None:
    # In a process of its own: kafka-python leaves sockets open where it gives up.
    bootstrap = f"127.0.0.1:{free_port()}"
    arguments = [row_file if word == "FILE" else word for word in words]
    done = program(*arguments, "--bootstrap", bootstrap, LLMOS_KAFKA_REQUEST_TIMEOUT_MS="1000")
    assert done.returncode == 75, done.stderr
    assert done.stderr.splitlines()[-1].startswith("llmos: ")
    assert bootstrap in done.stderr


def test_a_reader_who_has_seen_enough_is_no_bug() -> None:
    program = "from pipeline.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "settings", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait(60) != 70
    assert b"bug" not in said


@pytest.mark.parametrize(
    ("text", "ago"),
    [("30s", timedelta(seconds=30)), ("10m", timedelta(minutes=10)), ("2h", timedelta(hours=2)), ("3d", timedelta(days=3))],
)
def test_since_may_be_so_long_ago(text: str, ago: timedelta) -> None:
    found = parse_since(text)
    assert found is not None
    assert abs(datetime.now(UTC) - ago - found) < timedelta(seconds=5)


def test_since_may_be_a_time_and_without_a_zone_it_is_utc() -> None:
    assert parse_since(None) is None
    assert parse_since("2026-11-24T08:00:00+08:00") == datetime(2026, 11, 24, tzinfo=UTC)
    assert parse_since("2026-11-24T08:00:00") == datetime(2026, 11, 24, 8, tzinfo=UTC)
    assert parse_since("2026-11-24") == datetime(2026, 11, 24, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "soon", "10", "10 m", "-10m", "10y", "1.5h", "9" * 20 + "s", "9" * 5_000 + "s", "2026-13-01"]
)
def test_since_that_names_no_time_is_a_configuration_error(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--since"):
        parse_since(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("job-1", "job-1"),
        ("名 前", "名 前"),
        ("[red]a[/]", r"\[red]a\[/]"),
        ("\x1b[2J\r\n\x9b\u202e", "\ufffd[2J" + "\ufffd" * 4),
    ],
)
def test_what_a_stranger_wrote_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize("job_id", ["[/]", "[/red]", "[link=file:///]x", "\x1b[31m"])
def test_a_result_with_an_odd_id_is_one_line(job_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = json.loads(golden("inference-result.json"))
    line = results.line(InferenceResult.model_validate({**given, "job_id": job_id}))
    results.OUT.print(line)
    shown = capsys.readouterr().out
    assert job_id.replace("\x1b", "\ufffd") in shown
    assert "block" in shown


def edited(original: bytes, changes: list[str] | None = None, file: Path | None = None) -> Any:
    """The original after an edit."""
    edit = _editor(changes, file)
    assert edit is not None
    return edit(original)


def test_an_edit_sets_fields_and_keeps_the_others(tmp_path: Path) -> None:
    value = edited('{"text":"你好","tenant":"gone"}'.encode(), ['tenant="default"', "metadata={}"])
    assert value == '{"text": "你好", "tenant": "default", "metadata": {}}'.encode()
    (tmp_path / "new.json").write_bytes(b"\xffanything")
    assert edited(b"{}", None, tmp_path / "new.json") == b"\xffanything"
    assert _editor(None, None) is None


@pytest.mark.parametrize("change", ["tenant=default", "tenant", "=", 'tenant="'])
def test_an_edit_that_is_no_json_is_said_before_anything_is_published(change: str) -> None:
    with pytest.raises(ConfigurationError, match="FIELD=JSON"):
        _editor([change], None)


@pytest.mark.parametrize("original", [b"[]", b"5", b"hello", b"\xff", b""])
def test_only_an_object_can_be_edited_by_field(original: bytes) -> None:
    with pytest.raises(ConfigurationError, match="JSON object"):
        edited(original, ["a=1"])
