"""Delivers what the stage gives, through an idempotent producer of our own: done means confirmed by the broker.

Faust's producer can neither be idempotent nor tell its caller that a record failed.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Final

import aiokafka
from aiokafka.errors import KafkaError

from pipeline import metrics
from pipeline.backoff import Backoff, retried
from pipeline.kafka import PRODUCER_BATCH_BYTES, PRODUCER_LINGER_MS, connection, idempotence
from pipeline.outgoing import Outgoing
from pipeline.refusal import failure
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
_TOPICS_KNOWN_S: Final = 30
"""How long the list of topics is believed before a reply makes us ask again."""
REPLY_S: Final = 5
"""How long a reply may take; then nobody waits for it."""


class Deliverer:
    """`start` before `deliver`, `stop` at the end; all in one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._deadline_s = settings.kafka_delivery_timeout_ms / 1000
        self._topics: Collection[str] = frozenset()
        self._topics_at = 0.0

    async def start(self, topics: Collection[str]) -> None:
        """Connect and wait until `topics` exist, both for a time.

        Raises TransientError without a broker, ConfigurationError without topics or rights.
        """
        within_s = self._settings.kafka_request_timeout_ms / 1000
        await self._retried(lambda: self._connect(within_s), within_s)
        await self._wait_for(topics)

    async def _connect(self, within_s: float) -> None:
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
            async with asyncio.timeout(within_s):
                await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise

    async def _retried(self, doing: Callable[[], Awaitable[None]], within_s: float) -> None:
        await retried(doing, within_s, (KafkaError, OSError, TimeoutError), partial(failure, "no connection to Kafka"))

    async def stop(self) -> None:
        """Disconnect; what was not confirmed by now is not done."""
        await self._producer.stop()

    async def deliver(self, records: Sequence[Outgoing]) -> None:
        """Return when every record is confirmed; raises TransientError if one is not in time, ConfigurationError if refused."""
        wanted = [record for record in records if not record.optional or await self._exists(record.topic)]
        metrics.REPLIES_SKIPPED.inc(len(records) - len(wanted))
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._confirm([record for record in wanted if not record.optional])
        except (KafkaError, OSError, TimeoutError) as error:
            raise failure(f"records were not confirmed in {self._deadline_s:.0f} s", error) from error
        await asyncio.gather(*(self._reply(record) for record in wanted if record.optional))

    async def _confirm(self, records: Sequence[Outgoing]) -> None:
        sent = [
            await self._producer.send(record.topic, record.value, key=record.key, headers=list(record.headers))
            for record in records
        ]
        await asyncio.gather(*sent)

    async def _reply(self, record: Outgoing) -> None:
        # Whoever asked for a reply named its topic; that it takes none must not stop everybody's work.
        try:
            async with asyncio.timeout(REPLY_S):
                await self._confirm([record])
        except (KafkaError, OSError, TimeoutError) as error:
            metrics.REPLIES_SKIPPED.inc()
            _LOG.warning("no reply on %s: %r", record.topic, error)

    async def _exists(self, topic: str) -> bool:
        if topic not in self._topics and time.monotonic() - self._topics_at > _TOPICS_KNOWN_S:
            await self._retried(self._ask_for_topics, self._deadline_s)
        return topic in self._topics

    async def _ask_for_topics(self) -> None:
        # The client's own list holds only topics it has produced to; naming a missing one would make it retry for a minute.
        metadata = await self._producer.client.fetch_all_metadata()
        self._topics, self._topics_at = metadata.topics(), time.monotonic()

    async def _wait_for(self, topics: Collection[str]) -> None:
        backoff = Backoff(self._deadline_s)
        while True:
            await self._retried(self._ask_for_topics, self._deadline_s)
            missing = sorted(set(topics) - set(self._topics))
            if not missing:
                return
            if (wait_s := backoff.next_s()) is None:
                raise ConfigurationError(f"topics do not exist: {', '.join(missing)}; create them with `llmos topics create`")
            _LOG.warning("waiting for topics: %s", ", ".join(missing))
            await asyncio.sleep(wait_s)
