"""How Faust is set up: what decision 0001 measured, in one table."""

from typing import Any

import faust

from pipeline.kafka import bootstrap_servers, instance_name, sasl_login, session_timeout_ms, ssl_context
from pipeline.settings import Settings


def faust_options(settings: Settings, data_dir: str) -> dict[str, Any]:
    """Options of `faust.App`; each that differs from Faust's default does so to keep messages or to bound repeats."""
    session_s = session_timeout_ms(settings) / 1000
    group = settings.preprocess_group
    return {
        "broker": [f"kafka://{server}" for server in bootstrap_servers(settings)],
        "broker_credentials": _credentials(settings),
        "store": "memory://",
        "datadir": data_dir,
        "autodiscover": False,
        "web_enabled": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": instance_name(settings, group),
        "consumer_max_fetch_size": settings.record_bytes_max,
        # Where a group's leader does not know the topic yet, for its broker has only just started, aiokafka gives its partitions
        # to nobody, and looks again when its metadata are this old: by default five minutes in which nothing is read.
        "consumer_metadata_max_age_ms": session_timeout_ms(settings),
        "stream_wait_empty": True,
        "broker_commit_interval": 0.5,
        # Faust commits inside its fetch loop after so many acknowledgements, and fetches nothing meanwhile: never.
        "broker_commit_every": 10_000_000,
        "broker_max_poll_records": 500,
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": max(session_s / 5, 0.1),
        "broker_rebalance_timeout": max(2 * session_s, 10),
        "broker_request_timeout": max(settings.kafka_request_timeout_ms / 1000, session_s),
    }


def _credentials(settings: Settings) -> faust.SSLCredentials | faust.SASLCredentials | None:
    context = ssl_context(settings)
    if login := sasl_login(settings):
        return faust.SASLCredentials(
            username=login[0], password=login[1], ssl_context=context, mechanism=settings.kafka_sasl_mechanism
        )
    return faust.SSLCredentials(context) if context else None
