"""Delivers a worker's records: done means confirmed by the broker."""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Final

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline import metrics
from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from schemas.errors import TransientError

_LOG = logging.getLogger(__name__)
_TOPICS_KNOWN_S: Final = 30
"""How long the list of topics is believed before a reply makes us ask again."""


class Deliverer:
    """Opened on construction, closed by `close`; raises TransientError where no broker answers."""

    def __init__(self, settings: Settings) -> None:
        self._deadline_s = settings.kafka_delivery_timeout_ms / 1000
        self._topics: Collection[str] = frozenset()
        self._topics_at = 0.0
        try:
            self._producer = KafkaProducer(**options.producer(settings))
            self._admin = KafkaAdminClient(**options.connection(settings))
        except KafkaError as error:
            raise TransientError(f"no Kafka broker answers: {error}") from error

    def deliver(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is confirmed; raises TransientError if one is not in time."""
        wanted = [record for record in records if not record.optional or self._exists(record.topic)]
        metrics.REPLIES_SKIPPED.inc(len(records) - len(wanted))
        deadline = time.monotonic() + self._deadline_s
        try:
            futures = [self._producer.send(record.topic, record.value, key=record.key) for record in wanted]
            for future in futures:
                future.get(timeout=max(0.001, deadline - time.monotonic()))
        except KafkaError as error:
            raise TransientError(f"records were not confirmed in {self._deadline_s:.0f} s: {error!r}") from error

    def topics(self) -> Collection[str]:
        """All topics that exist now."""
        try:
            self._topics, self._topics_at = frozenset(self._admin.list_topics()), time.monotonic()
        except KafkaError as error:
            raise TransientError(f"the broker does not list its topics: {error}") from error
        return self._topics

    def _exists(self, topic: str) -> bool:
        if topic not in self._topics and time.monotonic() - self._topics_at > _TOPICS_KNOWN_S:
            self.topics()
        return topic in self._topics

    def close(self) -> None:
        """Disconnect; what was not confirmed by now is not done."""
        self._producer.close(timeout=1)
        self._admin.close()
