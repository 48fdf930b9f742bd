"""At start preprocess tries on where Kafka is away, stops at once where it is refused, and leaves nothing open behind it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed

from pipeline.preprocess import delivery
from pipeline.preprocess.delivery import Deliverer
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError

TOPIC = "llmos.work.toy"
SETTINGS = Settings(kafka_bootstrap="broker:9092", kafka_request_timeout_ms=1_000, kafka_delivery_timeout_ms=300)


class Kafka:
    """A broker that fails as often as told, at connecting or at listing its topics."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.connecting: list[BaseException] = []
        self.listing: list[BaseException] = []
        self.topics: list[set[str]] = [{TOPIC}]
        self.open = self.tries = 0
        patch.setattr(delivery.aiokafka, "AIOKafkaProducer", lambda **_: Producer(self))

    def fetch(self) -> Any:
        if self.listing:
            raise self.listing.pop()
        topics = self.topics[0] if len(self.topics) == 1 else self.topics.pop(0)
        return SimpleNamespace(topics=lambda: topics)


class Producer:
    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.client = self

    async def start(self) -> None:
        self._kafka.open += 1
        self._kafka.tries += 1
        if self._kafka.connecting:
            raise self._kafka.connecting.pop()

    async def stop(self) -> None:
        self._kafka.open -= 1

    async def fetch_all_metadata(self) -> Any:
        return self._kafka.fetch()


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    return Kafka(monkeypatch)


def start() -> None:
    asyncio.run(Deliverer(SETTINGS).start([TOPIC]))


@pytest.mark.parametrize("error", [KafkaConnectionError("away"), OSError("unreachable"), TimeoutError()])
def test_a_broker_that_is_away_for_a_moment_is_waited_for(kafka: Kafka, error: BaseException) -> None:
    kafka.connecting, kafka.listing = [error] * 2, [KafkaError("no metadata")]
    start()
    assert (kafka.tries, kafka.open) == (3, 1)


def test_a_broker_that_stays_away_ends_it_in_time_and_nothing_stays_open(kafka: Kafka) -> None:
    kafka.connecting = [KafkaConnectionError("away")] * 1_000
    with pytest.raises(TransientError, match=r"no connection to Kafka: .*away"):
        start()
    assert kafka.tries > 2
    assert kafka.open == 0


def test_a_broker_that_refuses_us_is_not_asked_twice(kafka: Kafka) -> None:
    kafka.connecting = [SaslAuthenticationFailed("invalid credentials")] * 2
    with pytest.raises(ConfigurationError, match=r"refused: .*invalid credentials"):
        start()
    assert (kafka.tries, kafka.open) == (1, 0)


def test_topics_that_come_late_are_waited_for_and_those_that_never_come_are_named(kafka: Kafka) -> None:
    kafka.topics = [set(), set(), {TOPIC}]
    start()
    kafka.topics = [set()]
    with pytest.raises(ConfigurationError, match=f"do not exist: {TOPIC}; create them"):
        start()
