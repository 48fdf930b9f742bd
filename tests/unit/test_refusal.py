"""Refusals are told from absences, whichever client raises them and however deep they lie."""

import socket
import ssl
import threading
import time
from collections.abc import Iterator

import aiokafka.errors
import kafka.errors
import pytest
from kafka import KafkaAdminClient

from pipeline.kafka import admin
from pipeline.refusal import failure
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError


def tls(reason: str) -> ssl.SSLError:
    """An error as OpenSSL gives it."""
    error = ssl.SSLError(1, f"[SSL: {reason}] something")
    error.reason = reason
    return error


def wrapped(error: Exception) -> Exception:
    """The same error as clients wrap it: as the context of another."""
    outer = kafka.errors.KafkaConnectionError("Handshake failed")
    outer.__context__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        kafka.errors.TopicAuthorizationFailedError("llmos.jobs"),
        kafka.errors.GroupAuthorizationFailedError("group"),
        kafka.errors.ClusterAuthorizationFailedError(),
        kafka.errors.SaslAuthenticationFailedError("wrong"),
        kafka.errors.UnsupportedSaslMechanismError("PLAIN"),
        kafka.errors.KafkaConfigurationError("these options cannot work"),
        aiokafka.errors.TopicAuthorizationFailedError("llmos.jobs"),
        aiokafka.errors.GroupAuthorizationFailedError("group"),
        aiokafka.errors.SaslAuthenticationFailed("wrong"),
        tls("CERTIFICATE_VERIFY_FAILED"),
        tls("TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        tls("WRONG_VERSION_NUMBER"),
        kafka.errors.KafkaConnectionError(tls("CERTIFICATE_VERIFY_FAILED")),
        wrapped(tls("CERTIFICATE_VERIFY_FAILED")),
        wrapped(kafka.errors.SaslAuthenticationFailedError("wrong")),
    ],
    ids=repr,
)
def test_what_no_second_try_changes_is_a_matter_of_configuration(error: Exception) -> None:
    found = failure("publishing", error)
    assert isinstance(found, ConfigurationError)
    assert "docs/security.md" in str(found)


@pytest.mark.parametrize(
    "error",
    [
        kafka.errors.KafkaTimeoutError("too long"),
        kafka.errors.NotLeaderForPartitionError(),
        kafka.errors.KafkaConnectionError("socket disconnected"),
        aiokafka.errors.KafkaConnectionError("Unable to bootstrap"),
        aiokafka.errors.RequestTimedOutError(),
        TimeoutError(),
        OSError(30, "an error of the system with the number of a refusal"),
        ConnectionResetError(),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        tls("APPLICATION_DATA_AFTER_CLOSE_NOTIFY"),
        wrapped(tls("UNEXPECTED_EOF_WHILE_READING")),
    ],
    ids=repr,
)
def test_what_may_pass_is_transient_and_still_says_something(error: Exception) -> None:
    found = failure("publishing", error)
    assert isinstance(found, TransientError)
    assert len(str(found)) > len("publishing: ")


def test_a_mute_broker_is_given_up_in_time_and_the_reason_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        settings = Settings(kafka_bootstrap=f"127.0.0.1:{mute.getsockname()[1]}", kafka_request_timeout_ms=1_000)
        began = time.monotonic()
        with pytest.raises(kafka.errors.KafkaTimeoutError, match=r"Unable to bootstrap .*: .*timed out after"):
            KafkaAdminClient(**admin(settings))
    assert time.monotonic() - began < 20


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A port that takes connections and answers every greeting with something that is not TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_answer_all, args=(server,), daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def _answer_all(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.recv(1024)
            connection.sendall(b"220 no TLS here\r\n" * 4)


def test_a_refusal_is_raised_long_before_the_time_is_up(plain_port: int) -> None:
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{plain_port}", kafka_security_protocol="SSL", kafka_request_timeout_ms=60_000)
    began = time.monotonic()
    with pytest.raises(kafka.errors.KafkaConnectionError, match="WRONG_VERSION_NUMBER"):
        KafkaAdminClient(**admin(settings))
    assert time.monotonic() - began < 30
