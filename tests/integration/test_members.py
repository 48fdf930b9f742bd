"""Members of groups as our stages are, where they would stand still, and where they find the first record that is there."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.admin import NewTopic

from pipeline import kafka as options
from pipeline.preprocess.options import faust_options
from pipeline.succession import first_at
from schemas.errors import TransientError
from tests.support.gateway import story, until
from tests.support.loops import Idler
from tests.support.processes import Installation
from tests.support.waiting import wait_until

WITHIN_S = 30


@pytest.fixture(scope="module")
def producer(place: Installation) -> Iterator[KafkaProducer]:
    """Connected once."""
    with closing(KafkaProducer(**options.producer(place.settings))) as opened:
        yield opened


def found_by(consumer: KafkaConsumer) -> list[Any]:
    """What one poll brings."""
    return [record for records in options.poll(consumer, timeout_ms=200).values() for record in records]


def test_a_rejoin_whose_reason_has_gone_is_finished_all_the_same(place: Installation, producer: KafkaProducer) -> None:
    """The leader of a group rejoins where its topics seem to have other partitions. Metadata that come meanwhile say no."""
    topic = place.settings.jobs_topic
    with closing(KafkaConsumer(**options.group_consumer(place.settings, "rejoining"))) as consumer:
        consumer.subscribe([topic], listener=Idler())  # without one, kafka-python goes on with what it has
        wait_until(lambda: found_by(consumer) or consumer.assignment(), "partitions", WITHIN_S)
        coordinator = consumer._coordinator
        coordinator._assignment_snapshot = {topic: {99}}
        options.poll(consumer, timeout_ms=0)
        assert coordinator.rejoining, "a poll that may not wait was expected to leave the rejoin unfinished"
        coordinator._assignment_snapshot = None
        for value in (b"first", b"second"):  # the first may be in a fetch that was on its way
            producer.send(topic, value).get(WITHIN_S)
            wait_until(
                lambda value=value: value in [record.value for record in found_by(consumer)], f"the {value!r} record", WITHIN_S
            )
        assert not coordinator.rejoining


@story
async def test_a_leader_that_did_not_know_the_topic_soon_looks_again(place: Installation) -> None:
    """A broker that has only just started may not know its topics yet; aiokafka itself looks again after five minutes."""
    if options.is_embedded(place.settings):
        pytest.skip("the embedded broker makes a topic as soon as somebody asks for it")
    topic = f"{place.settings.topic_prefix}-late"
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.settings.kafka_bootstrap,
        group_id="early",
        partition_assignment_strategy=[RoundRobinPartitionAssignor],  # as Faust has it
        metadata_max_age_ms=faust_options(place.settings, "")["consumer_metadata_max_age_ms"],
    )
    await consumer.start()
    try:
        consumer.subscribe([topic])
        await until(lambda: consumer._subscription.subscription.assignment is not None, "a group without partitions")
        assert consumer.assignment() == set()
        with closing(KafkaAdminClient(**options.admin(place.settings))) as admin:
            admin.create_topics([NewTopic(topic, num_partitions=2, replication_factor=1)])
        await until(consumer.assignment, "partitions")
    finally:
        await consumer.stop()


def test_the_log_tells_where_its_first_record_is(place: Installation, producer: KafkaProducer) -> None:
    sent = [producer.send(place.settings.flagged_topic, b"x", partition=1).get(WITHIN_S) for _ in range(3)]
    spot = (place.settings.flagged_topic, 1)
    assert [first_at(place.settings, spot, one.offset) for one in sent] == [one.offset for one in sent]


def test_where_no_record_is_the_search_ends_with_passing_trouble(place: Installation) -> None:
    hasty = place.settings.model_copy(update={"kafka_request_timeout_ms": 3_000})
    with pytest.raises(TransientError, match="nothing came from offset 0 on"):
        first_at(hasty, (place.settings.flagged_topic, 2), 0)
