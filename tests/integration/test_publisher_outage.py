"""A publisher that outlives an outage of its broker: what was not delivered is told, and the next job goes out.

The publisher is a process of its own: kafka-python leaves the sockets of connections that fail to the garbage collector.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.topics import create_topics
from tests.support.brokers import apache_kafka
from tests.support.processes import installation

pytestmark = pytest.mark.broker

PUBLISHER = """
from pipeline.publish import JobPublisher
from schemas.errors import TransientError
from schemas.jobs import TextJob

def delivered(text):
    publisher.publish(TextJob(text=text))
    try:
        publisher.flush()
    except TransientError as error:
        return "1 jobs were not delivered" not in str(error)
    return True

with JobPublisher() as publisher:
    print(delivered("before"), flush=True)
    input()
    print(delivered("meanwhile"), flush=True)
    input()
    print(any(delivered("after") for _ in range(20)), flush=True)
"""


def test_after_an_outage_longer_than_its_patience_a_publisher_goes_on(tmp_path: Path, toy_environment: dict[str, str]) -> None:
    with apache_kafka(tmp_path / "kafka") as kafka:
        reached = {**toy_environment, "LLMOS_KAFKA_BOOTSTRAP": kafka.bootstrap}
        with installation(reached, tmp_path) as place:
            create_topics(place.settings)
            patience = {"LLMOS_KAFKA_DELIVERY_TIMEOUT_MS": "2000", "LLMOS_KAFKA_REQUEST_TIMEOUT_MS": "1500"}
            environment = {**os.environ, **place.environment, **patience}
            with subprocess.Popen(
                [sys.executable, "-c", PUBLISHER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=environment,
            ) as publisher:
                assert publisher.stdin, "asked for"
                assert publisher.stdout, "asked for"
                assert publisher.stdout.readline() == "True\n"
                kafka.stop("--kill")
                print(file=publisher.stdin, flush=True)
                assert publisher.stdout.readline() == "False\n"
                kafka.start()
                print(file=publisher.stdin, flush=True)
                assert publisher.stdout.readline() == "True\n"
                assert publisher.wait(60) == 0
