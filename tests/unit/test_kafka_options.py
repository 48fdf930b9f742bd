"""How clients reach Kafka: safe by default, bounded, and with mistakes named before anything connects."""

import inspect
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from pydantic import SecretStr

from pipeline import kafka as options
from pipeline.kafka import BROKER_FILE
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

HERE = "127.0.0.1:9092"
LOGIN = {"kafka_sasl_username": "ann", "kafka_sasl_password": SecretStr("open sesame")}


def settings(**given: Any) -> Settings:
    """Settings that name a broker."""
    return Settings(**{"kafka_bootstrap": HERE, **given})


def remember(state_dir: Path, content: object) -> None:
    """Write what `llmos up` would."""
    state_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / BROKER_FILE).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


@pytest.mark.parametrize(
    ("named", "servers"),
    [
        ("a:1", ["a:1"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        (" a:1 , b:2, ", ["a:1", "b:2"]),
        ("kafka.example.org", ["kafka.example.org"]),
        ("[::1]:9092", ["[::1]:9092"]),
    ],
)
def test_brokers_are_joined_by_commas(named: str, servers: list[str]) -> None:
    assert options.bootstrap_servers(settings(kafka_bootstrap=named)) == servers


@pytest.mark.parametrize("named", ["a:port", "a:", "http://a:1", "a:1/x", "a b:1", "a:123456", ":9092", "a:1,b:x", "::1"])
def test_what_names_no_broker_is_said_before_anything_connects(named: str) -> None:
    with pytest.raises(ConfigurationError, match="HOST:PORT"):
        options.bootstrap_servers(settings(kafka_bootstrap=named))


def test_the_broker_that_was_started_here_is_found_and_yours_goes_first(tmp_path: Path) -> None:
    remember(tmp_path, {"bootstrap": "127.0.0.1:5", "embedded": True})
    assert options.bootstrap_servers(Settings(state_dir=tmp_path)) == ["127.0.0.1:5"]
    assert options.bootstrap_servers(settings(state_dir=tmp_path)) == [HERE]


@pytest.mark.parametrize("content", [None, "", "{", "[]", "5", "{}", '{"bootstrap":""}', "\x00"])
def test_without_a_broker_it_is_said_how_to_get_one(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        remember(tmp_path, content)
    with pytest.raises(ConfigurationError, match="llmos up"):
        options.bootstrap_servers(Settings(state_dir=tmp_path))


@pytest.mark.parametrize(
    ("remembered", "given", "idempotent"),
    [
        (None, {}, True),
        (None, {"kafka_idempotence": False}, False),
        ({"bootstrap": HERE, "embedded": False}, {}, True),
        ({"bootstrap": HERE, "embedded": True}, {}, False),
        ({"bootstrap": HERE, "embedded": True}, {"kafka_bootstrap": None}, False),
        ({"bootstrap": HERE, "embedded": True}, {"kafka_bootstrap": "other:9092"}, True),  # another broker than the embedded
        ({"bootstrap": HERE, "embedded": False}, {"kafka_idempotence": False}, False),
    ],
)
def test_producers_are_idempotent_but_on_the_embedded_broker(
    tmp_path: Path, remembered: object, given: dict[str, Any], *, idempotent: bool
) -> None:
    if remembered:
        remember(tmp_path, remembered)
    chosen = settings(**{"state_dir": tmp_path, **given})
    assert options.idempotence(chosen) is idempotent
    if remembered or "kafka_bootstrap" not in given:
        assert options.producer(chosen)["enable_idempotence"] is idempotent


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_tls_verifies_the_broker_and_its_name(protocol: str) -> None:
    context = options.connection(settings(kafka_security_protocol=protocol, **(LOGIN if "SASL" in protocol else {})))[
        "ssl_context"
    ]
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname is True
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_a_plain_connection_has_no_tls(protocol: str) -> None:
    assert options.ssl_context(settings(kafka_security_protocol=protocol)) is None


@pytest.mark.parametrize("field", ["kafka_ssl_ca_file", "kafka_ssl_cert_file"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_tls_files_that_cannot_be_used_are_a_configuration_error(tmp_path: Path, field: str, content: str | None) -> None:
    file = tmp_path / "file.pem"
    if content:
        file.write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match="TLS"):
        options.ssl_context(settings(kafka_security_protocol="SSL", **{field: file}))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_reaches_every_client(mechanism: str) -> None:
    chosen = settings(kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism=mechanism, **LOGIN)
    for made in (options.connection, options.admin, options.producer, options.consumer):
        found = made(chosen)
        assert found["security_protocol"] == "SASL_SSL"
        assert found["sasl_mechanism"] == mechanism
        assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("ann", "open sesame")
    assert not any("sasl" in name for name in options.producer(settings()))


@pytest.mark.parametrize(
    "given", [{}, {"kafka_sasl_username": "ann"}, {"kafka_sasl_password": SecretStr("x")}, {**LOGIN, "kafka_sasl_username": ""}]
)
def test_half_a_login_is_named(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="LLMOS_KAFKA_SASL_USERNAME"):
        options.connection(settings(kafka_security_protocol="SASL_SSL", **given))


def test_producers_wait_for_all_replicas_and_no_longer_than_set() -> None:
    found = options.producer(settings(kafka_delivery_timeout_ms=7_000, kafka_request_timeout_ms=3_000))
    assert found["acks"] == "all"
    assert (found["delivery_timeout_ms"], found["request_timeout_ms"], found["bootstrap_timeout_ms"]) == (7_000, 3_000, 3_000)


def test_a_dead_letter_of_the_largest_record_still_fits() -> None:
    chosen = settings(record_bytes_max=10_000_000)
    assert options.producer(chosen)["max_request_size"] == 2 * chosen.record_bytes_max
    assert options.consumer(chosen)["max_partition_fetch_bytes"] == chosen.record_bytes_max


def test_consumers_commit_only_when_told_and_begin_at_the_oldest() -> None:
    found = options.group_consumer(settings(), "workers")
    assert found["enable_auto_commit"] is False
    assert found["auto_offset_reset"] == "earliest"
    assert found["group_id"] == "workers"


def test_a_stable_name_makes_membership_static() -> None:
    assert options.group_consumer(settings(), "workers")["group_instance_id"] is None
    assert options.group_consumer(settings(instance_id="w-1"), "workers")["group_instance_id"] == "workers-w-1"


@pytest.mark.parametrize("session_ms", [1_000, 6_000, 45_000])
def test_heartbeats_come_several_times_a_session(session_ms: int) -> None:
    found = options.group_consumer(settings(kafka_session_timeout_ms=session_ms), "workers")
    assert found["session_timeout_ms"] == session_ms
    assert found["heartbeat_interval_ms"] <= session_ms / 3


@pytest.mark.parametrize(
    ("client", "make"),
    [
        (KafkaProducer, options.producer),
        (KafkaConsumer, lambda chosen: options.group_consumer(chosen, "workers")),
        (KafkaConsumer, options.consumer),
        (KafkaAdminClient, options.admin),
    ],
)
def test_kafka_python_knows_every_option(client: Any, make: Callable[[Settings], dict[str, Any]]) -> None:
    chosen = settings(instance_id="w-1", kafka_security_protocol="SASL_SSL", **LOGIN)
    assert set(make(chosen)) <= set(client.DEFAULT_CONFIG)


def test_aiokafka_knows_the_shared_options() -> None:
    chosen = settings(kafka_security_protocol="SASL_SSL", **LOGIN)
    assert set(options.connection(chosen)) <= set(inspect.signature(AIOKafkaProducer).parameters)
