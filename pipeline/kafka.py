"""How every client reaches Kafka: connection and safety options from the settings, for kafka-python and for aiokafka."""

import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.settings import Settings
from schemas.errors import ConfigurationError

BROKER_FILE: Final = "broker.json"
"""In the state folder: where the broker is that `llmos up` last started."""
PRODUCER_BATCH_BYTES: Final = 256 << 10
PRODUCER_LINGER_MS: Final = 5


def bootstrap_servers(settings: Settings) -> list[str]:
    """The brokers to ask first; raises ConfigurationError where none is set and none was started here."""
    if settings.kafka_bootstrap:
        return settings.kafka_bootstrap.split(",")
    remembered = remembered_broker(settings.state_dir)
    if "bootstrap" in remembered:
        return str(remembered["bootstrap"]).split(",")
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
    remembered = remembered_broker(settings.state_dir)
    embedded = bool(remembered.get("embedded")) and settings.kafka_bootstrap in (None, remembered.get("bootstrap"))
    return settings.kafka_idempotence and not embedded


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context, or None where the connection is plain; raises ConfigurationError for unreadable files."""
    if "SSL" not in settings.kafka_security_protocol:
        return None
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca_file)
        if settings.kafka_ssl_cert_file:
            context.load_cert_chain(settings.kafka_ssl_cert_file, settings.kafka_ssl_key_file)
    except OSError as error:
        raise ConfigurationError(f"TLS files for Kafka: {error}") from error
    return context


def connection(settings: Settings) -> dict[str, Any]:
    """Options that kafka-python and aiokafka share, for consumers, producers and admin clients."""
    options: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
        "request_timeout_ms": settings.kafka_request_timeout_ms,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": password.get_secret_value() if password else None,
        }
    return options


def producer(settings: Settings) -> dict[str, Any]:
    """Options of a kafka-python producer that confirms on all replicas. Its memory is not bounded: cap what is in flight."""
    return connection(settings) | {
        "acks": "all",
        "enable_idempotence": idempotence(settings),
        "compression_type": "lz4",
        "linger_ms": PRODUCER_LINGER_MS,
        "batch_size": PRODUCER_BATCH_BYTES,
        "max_request_size": 2 * settings.record_bytes_max,
        "delivery_timeout_ms": settings.kafka_delivery_timeout_ms,
    }


def consumer(settings: Settings) -> dict[str, Any]:
    """Options of a kafka-python consumer that commits only when told and starts at the oldest record."""
    return connection(settings) | {
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_partition_fetch_bytes": settings.record_bytes_max,
    }


def group_consumer(settings: Settings, group: str) -> dict[str, Any]:
    """The same for a member of a group; static where the process has a stable name."""
    return consumer(settings) | {
        "group_id": group,
        "group_instance_id": f"{group}-{settings.instance_id}" if settings.instance_id else None,
        "session_timeout_ms": settings.kafka_session_timeout_ms,
        "heartbeat_interval_ms": max(settings.kafka_session_timeout_ms // 5, 100),
    }
