"""Settings: which source wins, what is refused, and that a secret shows nowhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

SECRET = "open sesame"  # noqa: S105 (of nothing)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of one's own, where `.env` and `llmos.toml` are looked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LLMOS_CONFIG_FILE")
    return tmp_path


def shown(folder: Path) -> dict[str, dict[str, Any]]:
    """What `llmos settings --json` says, by setting."""
    result = CliRunner().invoke(app, ["settings", "--json"])
    assert result.exit_code == 0, result.output
    return {row["setting"]: row for row in json.loads(result.stdout)}


def test_the_defaults_work_without_any_file_or_variable(folder: Path) -> None:
    settings = Settings()
    assert settings.kafka_bootstrap is None
    assert settings.jobs_topic == "llmos.jobs"
    assert settings.routes_file.is_file()
    assert settings.policies_dir.is_dir()


def test_the_stronger_source_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "llmos.toml").write_text('topic_prefix = "from-toml"\n', "utf-8")
    assert Settings().topic_prefix == "from-toml"
    (folder / ".env").write_text("LLMOS_TOPIC_PREFIX=from-dotenv\n", "utf-8")
    assert Settings().topic_prefix == "from-dotenv"
    monkeypatch.setenv("LLMOS_TOPIC_PREFIX", "from-environment")
    assert Settings().topic_prefix == "from-environment"
    assert Settings(topic_prefix="from-option").topic_prefix == "from-option"


def test_an_empty_variable_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_TOPIC_PARTITIONS", "")
    assert Settings().topic_partitions == 8


def test_sources_fill_each_other_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "llmos.toml").write_text('topic_partitions = 3\nworker_model = "a"\n', "utf-8")
    (folder / ".env").write_text("LLMOS_WORKER_MODEL=b\nOTHER_PROGRAM=1\n", "utf-8")
    monkeypatch.setenv("LLMOS_LOG_FORMAT", "json")
    settings = Settings()
    assert (settings.topic_partitions, settings.worker_model, settings.log_format) == (3, "b", "json")


def test_another_toml_file_may_be_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "other.toml").write_text("topic_partitions = 5\n", "utf-8")
    monkeypatch.setenv("LLMOS_CONFIG_FILE", str(folder / "other.toml"))
    assert Settings().topic_partitions == 5


@pytest.mark.parametrize("content", [b"topic_partitions = ", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_toml_file_that_cannot_be_read_is_named(folder: Path, content: bytes) -> None:
    (folder / "llmos.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"llmos\.toml"):
        Settings()


@pytest.mark.parametrize(
    ("written", "said"),
    [("topic_partition = 3", "topic_partitions is meant"), ("colour = 'red'", "llmos settings"), ("[topics]\na = 1", "'topics'")],
)
def test_a_name_that_no_setting_has_is_refused(folder: Path, written: str, said: str) -> None:
    (folder / "llmos.toml").write_text(written)
    with pytest.raises(ConfigurationError, match=said):
        Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("topic_partitions", 0),
        ("topic_prefix", "Upper"),
        ("topic_prefix", ""),
        ("instance_id", "a b"),
        ("publish_bulk_jobs", 501),
        ("kafka_request_timeout_ms", 999),
        ("kafka_security_protocol", "TLS"),
        ("kafka_sasl_mechanism", "GSSAPI"),
        ("metrics_port", 65_536),
        ("preprocess_linger_ms", -1),
        ("worker_provider", "tpu"),
        ("record_bytes_max", (8 << 20) - 1),
        ("log_level", "loud"),
    ],
)
def test_a_setting_out_of_its_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})


def test_settings_are_read_once_and_stay() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().topic_partitions = 3


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_default(name: str) -> None:
    assert not Settings.model_fields[name].is_required()


def test_topics_and_groups_carry_the_prefix() -> None:
    settings = Settings(topic_prefix="test")
    assert settings.work_topic("toy", "0123456789abcdef") == "test.work.toy.01234567"
    topics = [settings.jobs_topic, settings.results_topic, settings.flagged_topic, settings.dead_letters_topic]
    topics += [settings.replays_topic, settings.reply_prefix, settings.work_topic("toy", "0" * 64)]
    assert all(topic.startswith("test.") for topic in topics)
    assert len(set(topics)) == len(topics)
    assert settings.preprocess_group == "test-preprocess"
    assert settings.worker_group("toy") == "test-worker-toy"


def test_a_secret_shows_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_KAFKA_SASL_PASSWORD", SECRET)
    settings = Settings()
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == SECRET
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert SECRET not in text


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_command_masks_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    monkeypatch.setenv("LLMOS_KAFKA_SASL_PASSWORD", SECRET)
    monkeypatch.setenv("COLUMNS", "300")
    result = CliRunner().invoke(app, ["settings", *options])
    assert result.exit_code == 0
    assert "********" in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize(
    "toml",
    [
        'kafka_sasl_password = ["open sesame"]',
        'kafka_sasl_password = "open sesame"\ntopic_partitions = 0',
        'kafka_sasl_password = "open sesame"\ntopic_prefix = "!"',
    ],
)
def test_an_error_does_not_quote_a_secret(folder: Path, toml: str) -> None:
    (folder / "llmos.toml").write_text(toml, "utf-8")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert SECRET not in str(caught.value)
    result = CliRunner().invoke(app, ["settings"])
    assert result.exit_code == 3
    assert SECRET not in result.output


def test_the_command_tells_where_each_value_comes_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "llmos.toml").write_text("topic_partitions = 3\nworker_threads = 2\n", "utf-8")
    (folder / ".env").write_text("LLMOS_WORKER_THREADS=1\n", "utf-8")
    monkeypatch.setenv("LLMOS_LOG_FORMAT", "json")
    rows = shown(folder)
    assert set(rows) == set(Settings.model_fields)
    assert {name: (rows[name]["value"], rows[name]["from"]) for name in ("topic_partitions", "worker_threads", "log_format")} == {
        "topic_partitions": (3, "llmos.toml"),
        "worker_threads": (1, ".env"),
        "log_format": ("json", "environment LLMOS_LOG_FORMAT"),
    }
    assert rows["tokens_max"]["from"] == "default"
    assert rows["tokens_max"]["meaning"]


def test_the_table_shows_a_path_with_brackets_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_MODELS_DIR", "/models/[bold]x[/]")
    monkeypatch.setenv("COLUMNS", "400")
    result = CliRunner().invoke(app, ["settings"])
    assert result.exit_code == 0
    assert "/models/[bold]x[/]" in result.output
