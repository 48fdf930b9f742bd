"""Delivers a worker's records: done means confirmed by the broker."""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline import metrics
from pipeline.backoff import Backoff
from pipeline.outgoing import Outgoing
from pipeline.refusal import failure
from pipeline.settings import Settings

_LOG = logging.getLogger(__name__)
_TOPICS_KNOWN_S: Final = 30
"""How long the list of topics is believed before a reply makes us ask again."""
REPLY_S: Final = 5
"""How long a reply may take once all else is confirmed; then nobody waits for it."""


class Deliverer:
    """Opened on construction, closed by `close`; raises TransientError without a broker, ConfigurationError for a refusal."""

    def __init__(self, settings: Settings) -> None:
        self._deadline_s = settings.kafka_delivery_timeout_ms / 1000
        self._topics: Collection[str] = frozenset()
        self._topics_at = 0.0
        try:
            self._producer = KafkaProducer(**options.producer(settings))
            self._admin = KafkaAdminClient(**options.admin(settings))
        except KafkaError as error:
            raise failure("no connection to Kafka", error) from error

    def deliver(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is confirmed; raises TransientError if one is not in time, ConfigurationError if refused."""
        wanted = [record for record in records if not record.optional or self._exists(record.topic)]
        metrics.REPLIES_SKIPPED.inc(len(records) - len(wanted))
        sent = [(record, future) for record in wanted if (future := self._send(record)) is not None]
        for optional, within_s in ((False, self._deadline_s), (True, REPLY_S)):
            deadline = time.monotonic() + within_s
            for record, future in sent:
                if record.optional is optional:
                    self._confirm(record, future, deadline)

    def _send(self, record: Outgoing) -> Any | None:  # noqa: ANN401 (kafka-python's futures are untyped)
        try:
            return self._producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
        except KafkaError as error:
            self._failed(record, error)
            return None

    def _confirm(self, record: Outgoing, future: Any, deadline: float) -> None:  # noqa: ANN401
        try:
            future.get(timeout=max(0.001, deadline - time.monotonic()))
        except KafkaError as error:
            self._failed(record, error)

    def _failed(self, record: Outgoing, error: KafkaError) -> None:
        if not record.optional:
            raise failure(f"records were not confirmed in {self._deadline_s:.0f} s", error) from error
        # Whoever asked for a reply named its topic; that it takes none must not stop everybody's work.
        metrics.REPLIES_SKIPPED.inc()
        _LOG.warning("no reply on %s: %r", record.topic, error)

    def topics(self) -> Collection[str]:
        """All topics that exist now; goes on asking for a time, where the broker is away."""
        backoff = Backoff(self._deadline_s)
        while True:
            try:
                self._topics, self._topics_at = frozenset(self._admin.list_topics()), time.monotonic()
            except KafkaError as error:
                time.sleep(backoff.after(failure("the broker does not list its topics", error)))
            else:
                return self._topics

    def _exists(self, topic: str) -> bool:
        if topic not in self._topics and time.monotonic() - self._topics_at > _TOPICS_KNOWN_S:
            self.topics()
        return topic in self._topics

    def close(self) -> None:
        """Disconnect; what was not confirmed by now is not done."""
        options.close(self._producer, timeout=1)
        options.close(self._admin)
