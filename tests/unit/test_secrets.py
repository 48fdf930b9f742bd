"""A password: where it comes from, what is refused for want of it, and that nothing shows it."""

import json
import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from pydantic import ValidationError
from typer.testing import CliRunner

from pipeline.cli.main import app
from pipeline.kafka import admin, connection, consumer, group_consumer, producer
from pipeline.preprocess.options import faust_options
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

SECRET = "correct-horse-battery"  # noqa: S105 (of nobody)
SASL: dict[str, Any] = {
    "kafka_bootstrap": "127.0.0.1:1",
    "kafka_security_protocol": "SASL_PLAINTEXT",
    "kafka_sasl_mechanism": "PLAIN",
    "kafka_sasl_username": "bob",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A password as a secret is mounted: with a line break at its end."""
    made = tmp_path / "password"
    made.write_text(f"{SECRET}\n")
    return made


@pytest.mark.parametrize("options", [connection, admin, producer, consumer, lambda settings: group_consumer(settings, "g")])
def test_every_client_logs_in_with_the_password_of_the_file(file: Path, options: Callable[[Settings], dict[str, Any]]) -> None:
    found = options(Settings(**SASL, kafka_sasl_password_file=file))
    assert (found["sasl_mechanism"], found["sasl_plain_username"], found["sasl_plain_password"]) == ("PLAIN", "bob", SECRET)


def test_faust_logs_in_with_it_too(file: Path) -> None:
    login = faust_options(Settings(**SASL, kafka_sasl_password_file=file), "")["broker_credentials"]
    assert (login.mechanism.value, login.username, login.password) == ("PLAIN", "bob", SECRET)
    assert SECRET not in repr(login)


@pytest.mark.parametrize("content", ["ends in spaces  ", "  begins so", "\u5bc6\u7801", 'with "quotes" and \\'])
def test_only_line_breaks_at_the_end_do_not_count(file: Path, content: str) -> None:
    file.write_text(f"{content}\r\n", "utf-8")
    assert connection(Settings(**SASL, kafka_sasl_password_file=file))["sasl_plain_password"] == content


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe" + SECRET.encode()])
def test_a_file_without_a_password_is_refused_and_not_quoted(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError, match="LLMOS_KAFKA_SASL_PASSWORD_FILE") as error:
        connection(Settings(**SASL, kafka_sasl_password_file=file))
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kafka_sasl_username": None}, "needs LLMOS_KAFKA_SASL_USERNAME"),
        ({"kafka_sasl_password": None}, "LLMOS_KAFKA_SASL_PASSWORD_FILE or"),
        ({"kafka_sasl_password_file": Path("missing")}, "both set"),
        ({"kafka_sasl_password": None, "kafka_sasl_password_file": Path("missing")}, "missing"),
        ({"kafka_security_protocol": "PLAINTEXT"}, "PLAINTEXT, which has no users"),  # else it would go without a word
        ({"kafka_security_protocol": "SSL"}, "SSL, which has no users"),
    ],
)
def test_a_login_that_cannot_work_is_refused_before_any_connection(changes: dict[str, Any], said: str) -> None:
    settings = Settings(**{**SASL, "kafka_sasl_password": SECRET, **changes})
    with pytest.raises(ConfigurationError, match=said) as error:
        connection(settings)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("missing", ["kafka_ssl_ca_file", "kafka_ssl_cert_file"])
def test_a_tls_file_that_cannot_be_read_is_refused(tmp_path: Path, missing: str) -> None:
    settings = Settings(kafka_bootstrap="127.0.0.1:1", kafka_security_protocol="SSL", **{missing: tmp_path / "none.pem"})
    with pytest.raises(ConfigurationError, match="TLS files"):
        connection(settings)


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "--json"]])
@pytest.mark.parametrize("source", ["environment", "toml", "dotenv"])
def test_llmos_settings_masks_it_wherever_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {"LLMOS_CONFIG_FILE": "llmos.toml", "COLUMNS": "300"}
    if source == "environment":
        environment["LLMOS_KAFKA_SASL_PASSWORD"] = SECRET
    if source == "toml":
        Path("llmos.toml").write_text(f'kafka_sasl_password = "{SECRET}"\n')
    if source == "dotenv":
        Path(".env").write_text(f"LLMOS_KAFKA_SASL_PASSWORD={SECRET}\n")
    shown = CliRunner().invoke(app, arguments, env=environment)
    assert shown.exit_code == 0
    assert "********" in shown.output
    assert SECRET not in shown.output


@pytest.mark.parametrize(
    "wrong", [{"worker_threads": -1}, {"kafka_sasl_password": [SECRET]}, {"kafka_bootstrap": {"password": SECRET}}]
)
def test_an_error_in_the_settings_shows_no_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as error:
        Settings(**{"kafka_sasl_password": SECRET, **wrong})
    assert SECRET not in str(error.value)


def test_settings_show_no_password_in_any_form() -> None:
    settings = Settings(**SASL, kafka_sasl_password=SECRET)
    forms = [
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        repr(settings.model_dump()),
        json.dumps(str(settings.__dict__)),
    ]
    assert not [form for form in forms if SECRET in form]


def test_kafka_at_debug_level_logs_no_password(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute, caplog.at_level(logging.DEBUG):
        settings = Settings(**{**SASL, "kafka_bootstrap": f"127.0.0.1:{mute.getsockname()[1]}"}, kafka_sasl_password=SECRET)
        with pytest.raises(KafkaError):
            KafkaAdminClient(**admin(settings) | {"bootstrap_timeout_ms": 100})
    assert re.search("(?i)bootstrap", caplog.text), "the library was heard"
    assert SECRET not in caplog.text
