"""Preprocess' delivery: what must arrive does or the process stops; a reply that nobody can take stops nobody."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, NotEnoughReplicasError, TopicAuthorizationFailedError

from pipeline import metrics
from pipeline.outgoing import Outgoing
from pipeline.preprocess.delivery import Deliverer
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError

WORK = Outgoing("llmos.work.toy", None, b"work")
REPLY = Outgoing("llmos.replies.shop", b"one", b"{}", optional=True)


class Producer:
    """Takes records on topics, or fails as told."""

    def __init__(self, failing: dict[str, Exception]) -> None:
        self.failing = failing
        self.taken: list[str] = []
        self.headers: list[list[tuple[str, bytes]]] = []

    async def send(
        self,
        topic: str,
        value: bytes,  # noqa: ARG002
        key: bytes | None,  # noqa: ARG002
        headers: list[tuple[str, bytes]],
    ) -> "asyncio.Future[Any]":
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if topic in self.failing:
            future.set_exception(self.failing[topic])
        else:
            self.taken.append(topic)
            self.headers.append(headers)
            future.set_result(None)
        return future


def deliver_to(producer: Producer, *records: Outgoing) -> None:
    """Deliver to topics that all exist."""
    deliverer = Deliverer(Settings(kafka_bootstrap="broker:9092"))
    deliverer._producer = producer
    deliverer._topics = {record.topic for record in records}
    asyncio.run(deliverer.deliver(records))


def deliver(failing: dict[str, Exception]) -> list[str]:
    """The topics that took a record, of a work record and a reply."""
    producer = Producer(failing)
    deliver_to(producer, REPLY, WORK)
    return producer.taken


def test_a_record_goes_out_with_its_headers() -> None:
    producer, headers = Producer({}), (("h", b"1"), ("h", b"2"))
    deliver_to(producer, WORK, replace(WORK, headers=headers))
    assert producer.headers == [[], list(headers)]


def test_work_and_replies_are_delivered() -> None:
    assert deliver({}) == [WORK.topic, REPLY.topic]


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (NotEnoughReplicasError(), TransientError),
        (KafkaTimeoutError(), TransientError),
        (TopicAuthorizationFailedError(), ConfigurationError),
    ],
)
def test_work_that_is_not_confirmed_stops_the_stage(error: Exception, fate: type[Exception]) -> None:
    with pytest.raises(fate):
        deliver({WORK.topic: error})


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), MessageSizeTooLargeError(), KafkaTimeoutError()])
def test_a_reply_topic_that_takes_no_reply_stops_nobody(error: Exception) -> None:
    before = metrics.REPLIES_SKIPPED._value.get()
    assert deliver({REPLY.topic: error}) == [WORK.topic]
    assert metrics.REPLIES_SKIPPED._value.get() == before + 1
