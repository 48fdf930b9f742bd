"""Delivers what the stage gives, through an idempotent producer of our own: done means confirmed by the broker.

Faust's producer can neither be idempotent nor tell its caller that a record failed.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Final

import aiokafka
from aiokafka.errors import KafkaError

from pipeline import metrics
from pipeline.kafka import PRODUCER_BATCH_BYTES, PRODUCER_LINGER_MS, connection, idempotence
from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError

_LOG = logging.getLogger(__name__)
_TOPICS_KNOWN_S: Final = 30
"""How long the list of topics is believed before a reply makes us ask again."""
_TOPICS_POLL_S: Final = 0.5


class Deliverer:
    """`start` before `deliver`, `stop` at the end; all in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._deadline_s = settings.kafka_delivery_timeout_ms / 1000
        self._topics: Collection[str] = frozenset()
        self._topics_at = 0.0

    async def start(self, topics: Collection[str]) -> None:
        """Connect and wait until `topics` exist; raises TransientError without a broker, ConfigurationError without topics."""
        self._producer = aiokafka.AIOKafkaProducer(
            **connection(self._settings),
            acks="all",
            enable_idempotence=idempotence(self._settings),
            compression_type="lz4",
            linger_ms=PRODUCER_LINGER_MS,
            max_batch_size=PRODUCER_BATCH_BYTES,
            max_request_size=2 * self._settings.record_bytes_max,
        )
        try:
            await self._producer.start()
            await self._wait_for(topics)
        except (KafkaError, OSError) as error:
            raise TransientError(f"Kafka at {self._settings.kafka_bootstrap}: {error}") from error

    async def stop(self) -> None:
        """Disconnect; what was not confirmed by now is not done."""
        await self._producer.stop()

    async def deliver(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is confirmed; raises TransientError if one is not in time."""
        wanted = [record for record in records if not record.optional or await self._exists(record.topic)]
        metrics.REPLIES_SKIPPED.inc(len(records) - len(wanted))
        try:
            async with asyncio.timeout(self._deadline_s):
                sent = [await self._send(record) for record in wanted]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise TransientError(f"records were not confirmed in {self._deadline_s:.0f} s: {error!r}") from error

    async def _send(self, record: Outgoing) -> asyncio.Future[object]:
        future: asyncio.Future[object] = await self._producer.send(record.topic, record.value, key=record.key)
        return future

    async def _exists(self, topic: str) -> bool:
        if topic not in self._topics and time.monotonic() - self._topics_at > _TOPICS_KNOWN_S:
            await self._ask_for_topics()
        return topic in self._topics

    async def _ask_for_topics(self) -> None:
        # The client's own list holds only topics it has produced to; naming a missing one would make it retry for a minute.
        metadata = await self._producer.client.fetch_all_metadata()
        self._topics, self._topics_at = metadata.topics(), time.monotonic()

    async def _wait_for(self, topics: Collection[str]) -> None:
        deadline = time.monotonic() + self._deadline_s
        while True:
            await self._ask_for_topics()
            missing = sorted(set(topics) - set(self._topics))
            if not missing:
                return
            if time.monotonic() > deadline:
                raise ConfigurationError(f"topics do not exist: {', '.join(missing)}; create them with `llmos topics create`")
            _LOG.warning("waiting for topics: %s", ", ".join(missing))
            await asyncio.sleep(_TOPICS_POLL_S)
