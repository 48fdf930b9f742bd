"""`llmos keys` as a person meets it: shown once, listed without secrets, revoked by id."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.main import app
from pipeline.gateway.contract import Unauthenticated
from pipeline.gateway.key_file import keys_path
from pipeline.gateway.keys import KeyGate
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from tests.support.front import FakeClock


def keys(*words: str) -> Result:
    """Run `llmos keys …`."""
    return CliRunner().invoke(app, ["keys", *words], env={"COLUMNS": "300"})


def gate() -> KeyGate:
    """A gate that has just read the file."""
    return KeyGate(keys_path(Settings()), clock=FakeClock())


def test_a_key_is_all_that_standard_output_has() -> None:
    made = keys("create", "--tenant", "default", "--name", "website")
    assert made.exit_code == 0
    key = made.stdout.removesuffix("\n")
    assert gate().enter(key).tenant == "default"
    assert key not in made.stderr
    assert "not shown again" in made.stderr


def test_a_key_can_be_listed_and_revoked_and_is_not_shown_again() -> None:
    key = keys("create", "--tenant", "default", "--name", "web[/]site").stdout.strip()
    (row,) = json.loads(keys("list", "--json").stdout)
    assert (row["tenant"], row["name"], row["state"]) == ("default", "web[/]site", "active")
    assert key.endswith(row["hint"])
    assert "web[/]site" in keys("list").stdout
    assert keys("revoke", row["id"]).exit_code == 0
    listed = keys("list", "--json").stdout
    assert json.loads(listed)[0]["state"] == "revoked"
    assert key not in listed + keys("list").stdout
    with pytest.raises(Unauthenticated):
        gate().enter(key)


def test_machines_get_the_key_and_its_id_in_one_object() -> None:
    made = json.loads(keys("create", "--tenant", "default", "--texts-per-minute", "60", "--expires", "90d", "--json").stdout)
    assert made["key"].startswith("llmos_")
    assert (made["texts_per_minute"], made["state"]) == (60, "active")
    assert made["expires_at"] > made["created_at"]


def test_a_tenant_without_a_policy_is_pointed_out() -> None:
    assert "has no policy" in keys("create", "--tenant", "acme").stderr
    assert "has no policy" not in keys("create", "--tenant", "default").stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("create",), 2, "--tenant"),
        (("create", "--tenant", "a/b"), 3, "--tenant"),
        (("create", "--tenant", ""), 3, "--tenant"),
        (("create", "--tenant", "a", "--name", "x" * 300), 3, "--name"),
        (("create", "--tenant", "a", "--texts-per-minute", "-1"), 2, "Invalid value"),
        (("create", "--tenant", "a", "--expires", "soon"), 3, "--expires"),
        (("create", "--tenant", "a", "--expires", "2020-01-01"), 3, "--expires"),
        (("create", "--tenant", "a", "--expires", "0d"), 3, "--expires"),
        (("revoke", "key_none"), 3, "key_none"),
    ],
)
def test_what_cannot_be_is_said_and_makes_no_key(words: tuple[str, ...], code: int, said: str) -> None:
    done = keys(*words)
    assert done.exit_code == code, done.output
    assert said in done.output
    assert json.loads(keys("list", "--json").stdout) == []


def test_the_file_of_the_setting_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_HTTP_KEYS_FILE", str(tmp_path / "a" / "keys.json"))
    keys("create", "--tenant", "default")
    assert (tmp_path / "a" / "keys.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "a" / "keys.json").chmod(0o666)
    assert keys("list").exit_code == 3
    with pytest.raises(ConfigurationError):
        gate().open()
