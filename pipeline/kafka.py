"""How every client reaches Kafka: connection and safety options from the settings, for kafka-python and for aiokafka."""

import json
import logging
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from pipeline.partitioner import KEY_PARTITIONER
from pipeline.refusal import RefusalClient
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

BROKER_FILE: Final = "broker.json"
"""In the state folder: where the broker is that `llmos up` last started."""
PRODUCER_BATCH_BYTES: Final = 256 << 10
PRODUCER_LINGER_MS: Final = 5
RECONNECT_MS: Final = 2_000
"""Longest pause between two tries to connect; kafka-python's own is 30 s, so that it would notice the end of an outage late."""
EMBEDDED_FETCH_WAIT_MS: Final = 20
EMBEDDED_SESSION_TIMEOUT_MS: Final = 6_000
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+)(:\d{1,5})?")


def bootstrap_servers(settings: Settings) -> list[str]:
    """The brokers to ask first; raises ConfigurationError where none is set and none was started here, or for what names none."""
    named = settings.kafka_bootstrap or str(remembered_broker(settings.state_dir).get("bootstrap", ""))
    servers = [server.strip() for server in named.split(",") if server.strip()]
    for server in servers:
        if not _SERVER.fullmatch(server):
            raise ConfigurationError(f"a Kafka broker is named HOST:PORT, not {server!r}")
    if servers:
        return servers
    raise ConfigurationError(
        "no Kafka broker: start one with `llmos up`, or name yours by --bootstrap HOST:PORT or LLMOS_KAFKA_BOOTSTRAP"
    )


def remembered_broker(state_dir: Path) -> Mapping[str, Any]:
    """What `llmos up` wrote of its broker; empty where there is nothing readable."""
    try:
        found = json.loads((state_dir / BROKER_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def idempotence(settings: Settings) -> bool:
    """Whether producers may be idempotent: as set, but never on the embedded broker, which cannot."""
    return settings.kafka_idempotence and not is_embedded(settings)


def fetch_wait_ms(settings: Settings) -> int:
    """How long a broker may hold a fetch that finds nothing: as set, but short on the embedded one, which looks twice in it."""
    return min(settings.kafka_fetch_wait_ms, EMBEDDED_FETCH_WAIT_MS) if is_embedded(settings) else settings.kafka_fetch_wait_ms


def session_timeout_ms(settings: Settings) -> int:
    """How long a silent process keeps its partitions: as set, but short on the embedded one, where a group waits half of it."""
    wanted = settings.kafka_session_timeout_ms
    return min(wanted, EMBEDDED_SESSION_TIMEOUT_MS) if is_embedded(settings) else wanted


def instance_name(settings: Settings, group: str) -> str | None:
    """The name that makes this process a static member of `group`, if it has a stable one.

    None on the embedded broker: a group of its hangs when a static member was killed and comes back.
    """
    return f"{group}-{settings.instance_id}" if settings.instance_id and not is_embedded(settings) else None


def notes_folder(settings: Settings) -> Path | None:
    """Where a consumer keeps the metadata of its commits, which the embedded broker forgets; None where the broker keeps it."""
    if not is_embedded(settings):
        return None
    return settings.state_dir / "notes" / str(remembered_broker(settings.state_dir).get("started", "once"))


def is_embedded(settings: Settings) -> bool:
    """Whether the broker is the embedded one that `llmos up` last started."""
    remembered = remembered_broker(settings.state_dir)
    return bool(remembered.get("embedded")) and settings.kafka_bootstrap in (None, remembered.get("bootstrap"))


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, or None where the connection is plain; raises ConfigurationError for unreadable files."""
    if "SSL" not in settings.kafka_security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
        if settings.kafka_ssl_cert_file:
            # Without a password OpenSSL would ask the terminal for that of an encrypted key, and wait.
            context.load_cert_chain(settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file, password="")
    except OSError as error:
        raise ConfigurationError(f"TLS files for Kafka: {error}") from error
    return context


def sasl_login(settings: Settings) -> tuple[str, str] | None:
    """User and password, or None where the connection has none; raises ConfigurationError where a part is missing."""
    if not settings.kafka_security_protocol.startswith("SASL"):
        if settings.kafka_sasl_username:
            raise ConfigurationError(
                f"LLMOS_KAFKA_SASL_USERNAME is set, but LLMOS_KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}, "
                "which has no users: SASL_SSL is meant"
            )
        return None
    password = _password(settings)
    if not settings.kafka_sasl_username or not password:
        raise ConfigurationError(
            f"{settings.kafka_security_protocol} needs LLMOS_KAFKA_SASL_USERNAME, and LLMOS_KAFKA_SASL_PASSWORD_FILE "
            "or LLMOS_KAFKA_SASL_PASSWORD"
        )
    _keep_logins_out_of_logs()
    return settings.kafka_sasl_username, password


def _password(settings: Settings) -> str | None:
    given, file = settings.kafka_sasl_password, settings.kafka_sasl_password_file
    if file is None:
        return given.get_secret_value() if given else None
    if given:
        raise ConfigurationError("LLMOS_KAFKA_SASL_PASSWORD and LLMOS_KAFKA_SASL_PASSWORD_FILE are both set: which?")
    try:
        return file.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"LLMOS_KAFKA_SASL_PASSWORD_FILE: {error}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"LLMOS_KAFKA_SASL_PASSWORD_FILE: {file} is not UTF-8") from None


def _keep_logins_out_of_logs() -> None:
    """At debug level both clients write down their options, or the very bytes that they log in with: never below info then."""
    for logger in (logging.getLogger("kafka"), logging.getLogger("aiokafka")):
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))


def close(client: Any, **options: Any) -> None:  # noqa: ANN401 (any client of kafka-python)
    """Close `client` whatever that meets: what was not confirmed by now is not done, and an error here would hide its cause."""
    with suppress(KafkaError):
        client.close(**options)


def poll(consumer: KafkaConsumer, **arguments: int) -> dict[TopicPartition, list[Any]]:
    """What `consumer` finds; raises TopicAuthorizationFailedError where it may not read a topic.

    kafka-python raises that for a fetch. But where the loss of the right meets a look-up of the topic's leader first, it fetches
    no more, and finds nothing for ever.

    So it does where it rejoins because a topic seems to have other partitions, and the next metadata say that it has not: it
    never asks again how the rejoin went. Here it is told to.
    """
    if consumer._coordinator.rejoining:  # noqa: SLF001 (begun in an earlier poll; finishing it takes this back)
        consumer._coordinator.request_rejoin()  # noqa: SLF001
    fetched: dict[TopicPartition, list[Any]] = consumer.poll(**arguments)
    if refused := consumer._cluster.unauthorized_topics:  # noqa: SLF001 (said nowhere else)
        raise TopicAuthorizationFailedError(refused)
    return fetched


def forget_late_answers(consumer: KafkaConsumer) -> None:
    """Have `consumer` ask anew what its group has committed.

    An answer that comes after the time for it is kept, and told to whoever next asks about the same partitions: at worst in a
    later assignment, when somebody else has committed more.
    """
    consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001 (no other way to it)


def connection(settings: Settings) -> dict[str, Any]:
    """Options that kafka-python and aiokafka share."""
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
        "request_timeout_ms": settings.kafka_request_timeout_ms,
    }
    if login := sasl_login(settings):
        mechanism = settings.kafka_sasl_mechanism
        options |= {"sasl_mechanism": mechanism, "sasl_plain_username": login[0], "sasl_plain_password": login[1]}
    return options


def admin(settings: Settings) -> dict[str, Any]:
    """Options of every kafka-python client, and all that an admin client needs: a refusal shows at once, an absence in time."""
    return connection(settings) | {
        "kafka_client": RefusalClient,
        "bootstrap_timeout_ms": settings.kafka_request_timeout_ms,
        "reconnect_backoff_max_ms": RECONNECT_MS,
    }


def producer(settings: Settings) -> dict[str, Any]:
    """Options of a kafka-python producer that confirms on all replicas. Its memory is not bounded: cap what is in flight."""
    return admin(settings) | {
        "acks": "all",
        "enable_idempotence": idempotence(settings),
        "compression_type": "lz4",
        "linger_ms": PRODUCER_LINGER_MS,
        "batch_size": PRODUCER_BATCH_BYTES,
        "max_request_size": 2 * settings.record_bytes_max,
        "delivery_timeout_ms": settings.kafka_delivery_timeout_ms,
        "max_block_ms": settings.kafka_delivery_timeout_ms,
        "partitioner": KEY_PARTITIONER,
    }


def consumer(settings: Settings) -> dict[str, Any]:
    """Options of a kafka-python consumer that commits only when told and starts at the oldest record."""
    return admin(settings) | {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": settings.record_bytes_max,
        "fetch_max_wait_ms": fetch_wait_ms(settings),
    }


def group_consumer(settings: Settings, group: str) -> dict[str, Any]:
    """The same for a member of a group; static where the process has a stable name."""
    return consumer(settings) | {
        "group_id": group,
        "group_instance_id": instance_name(settings, group),
        "session_timeout_ms": session_timeout_ms(settings),
        "heartbeat_interval_ms": max(session_timeout_ms(settings) // 5, 100),
    }
