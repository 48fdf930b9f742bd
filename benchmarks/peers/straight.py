"""A straight kafka-python loop, one text a run."""

import json
from argparse import Namespace

from kafka import KafkaConsumer, KafkaProducer

from benchmarks.peers.model import TAKEN, Model, options


def usual(given: Namespace, model: Model) -> None:
    """As in every tutorial: offsets commit themselves, results are sent one by one."""
    consumer = KafkaConsumer(
        given.jobs_topic, bootstrap_servers=given.bootstrap, group_id=given.jobs_topic, auto_offset_reset="earliest"
    )
    producer = KafkaProducer(bootstrap_servers=given.bootstrap)
    for record in consumer:
        job = json.loads(record.value)
        (scores,) = model.padded([job["text"]])
        producer.send(given.results_topic, model.reply(job["id"], scores), key=record.key)


def tuned(given: Namespace, model: Model) -> None:
    """Many records a poll, results sent together and confirmed before the commit."""
    consumer, producer = clients(given)
    while True:
        for records in consumer.poll(timeout_ms=200, max_records=TAKEN).values():
            for record in records:
                job = json.loads(record.value)
                (scores,) = model.padded([job["text"]])
                producer.send(given.results_topic, model.reply(job["id"], scores), key=record.key)
        producer.flush()
        consumer.commit()


def clients(given: Namespace) -> tuple[KafkaConsumer, KafkaProducer]:
    """A consumer that commits when told, and a producer that batches and compresses."""
    consumer = KafkaConsumer(
        given.jobs_topic,
        bootstrap_servers=given.bootstrap,
        group_id=given.jobs_topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_poll_records=TAKEN,
    )
    producer = KafkaProducer(bootstrap_servers=given.bootstrap, compression_type="lz4", linger_ms=20, batch_size=256 << 10)
    return consumer, producer


if __name__ == "__main__":
    asked = options()
    (tuned if asked.form == "tuned" else usual)(asked, Model(asked.bundle, asked.form))
