"""Asks the broker at start what this user may do, so that a missing right stops a process before it takes up work.

Otherwise a right to write would be missed only at the first record, and one to read nowhere: Faust waits, and says nothing.
"""

import time
from collections.abc import Collection

from kafka import KafkaAdminClient
from kafka.errors import AuthorizationError, RetriableError, TopicAuthorizationFailedError

from pipeline.backoff import Backoff
from pipeline.settings import Settings
from pipeline.topics import admin
from schemas.errors import ConfigurationError


def admit(settings: Settings, *, reads: Collection[str], writes: Collection[str], group: str | None = None) -> None:
    """Return where the broker grants all that is needed, whether or not the topics exist yet, or does not tell.

    What canaries need is asked for as well, where they are on.

    Raises ConfigurationError that names every right that is missing, also where the broker refuses the connection;
    TransientError where no broker answers. A connection without TLS and SASL has no user, so nothing is asked.
    """
    if settings.kafka_security_protocol == "PLAINTEXT":
        return
    if settings.canary_every_s:
        reads, writes = [*reads, settings.canary_topic], [*writes, settings.jobs_topic]
    wanted = dict.fromkeys([("READ", topic) for topic in reads] + [("WRITE", topic) for topic in writes])
    with admin(settings) as client:
        granted = _on_topics(client, dict.fromkeys(topic for _, topic in wanted))
        missing = [f"{right.title()} on topic {topic}" for right, topic in wanted if not _has(granted[topic], right)]
        if group and not _has(_on_group(client, group, Backoff(settings.kafka_request_timeout_ms / 1000)), "READ"):
            missing.append(f"Read on group {group}")
    if missing:
        user = settings.kafka_sasl_username or "of this certificate"
        raise ConfigurationError(f"Kafka user {user} lacks rights: {', '.join(missing)}; docs/security.md lists them all")


def _has(granted: Collection[str] | None, right: str) -> bool:
    return granted is None or right in granted


def _on_topics(client: KafkaAdminClient, topics: Collection[str]) -> dict[str, Collection[str] | None]:
    """Rights on each topic; None where the broker does not tell."""
    try:
        described = client.describe_topics(list(topics))
    except ValueError:  # a right that kafka-python has never heard of
        return dict.fromkeys(topics)
    refused = TopicAuthorizationFailedError.errno
    return {topic["name"]: () if topic["error_code"] == refused else topic.get("authorized_operations") for topic in described}


def _on_group(client: KafkaAdminClient, group: str, backoff: Backoff) -> Collection[str] | None:
    """Rights on the group; None where the broker does not tell. A broker without groups so far must first make room for them."""
    while True:
        try:
            rights: Collection[str] | None = client.describe_groups([group])[group]["authorized_operations"]
        except AuthorizationError:
            return ()
        except ValueError:
            return None
        except RetriableError:
            if (wait_s := backoff.next_s()) is None:
                raise
            time.sleep(wait_s)
        else:
            return rights
