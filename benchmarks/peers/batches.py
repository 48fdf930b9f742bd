"""The kafka-python loop with batches: 32 padded to the longest as usual, or 256 sorted and run a few at a time."""

import json
from argparse import Namespace
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from benchmarks.peers.model import TAKEN, USUAL_ROWS, Model, options
from benchmarks.peers.straight import clients


def usual(given: Namespace, model: Model) -> None:
    """Whatever a poll gives, 32 at most, in one run."""
    consumer = KafkaConsumer(
        given.jobs_topic, bootstrap_servers=given.bootstrap, group_id=given.jobs_topic, auto_offset_reset="earliest"
    )
    producer = KafkaProducer(bootstrap_servers=given.bootstrap)
    while True:
        if records := poll(consumer, USUAL_ROWS):
            jobs = [json.loads(record.value) for record in records]
            scores = model.padded([job["text"] for job in jobs])
            for record, job, row in zip(records, jobs, scores, strict=True):
                producer.send(given.results_topic, model.reply(job["id"], row), key=record.key)


def tuned(given: Namespace, model: Model) -> None:
    """A window of 256 texts, results sent together and confirmed before the commit."""
    consumer, producer = clients(given)
    while True:
        if records := poll(consumer, TAKEN):
            jobs = [json.loads(record.value) for record in records]
            scores = model.in_short_runs([job["text"] for job in jobs])
            for record, job, row in zip(records, jobs, scores, strict=True):
                producer.send(given.results_topic, model.reply(job["id"], row), key=record.key)
            producer.flush()
            consumer.commit()


def poll(consumer: KafkaConsumer, most: int) -> list[Any]:
    """The records of one poll, `most` at most."""
    return [record for records in consumer.poll(timeout_ms=200, max_records=most).values() for record in records]


if __name__ == "__main__":
    asked = options()
    (tuned if asked.form == "tuned" else usual)(asked, Model(asked.bundle, asked.form))
