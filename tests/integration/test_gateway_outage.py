"""The gateway while its broker is away: clients hear so soon, and all is well again by itself once it is back."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pipeline import exits
from pipeline.embedded import free_port
from pipeline.topics import create_topics
from tests.support.brokers import ApacheKafka, apache_kafka
from tests.support.processes import Installation, Stage, installation
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

SOON_S = 12
"""A client is told of an outage within this: 6 s by promise, and room for a busy machine."""


@pytest.fixture
def kafka(tmp_path: Path) -> Iterator[ApacheKafka]:
    """A broker of our own, to kill."""
    with apache_kafka(tmp_path / "kafka") as broker:
        yield broker


@pytest.fixture
def place(kafka: ApacheKafka, toy_environment: dict[str, str], tmp_path: Path) -> Iterator[Installation]:
    """An installation on it."""
    ours = {"LLMOS_KAFKA_BOOTSTRAP": kafka.bootstrap, "LLMOS_TOPIC_PARTITIONS": "2", "LLMOS_WORKER_PROVIDER": "cpu"}
    with installation({**toy_environment, **ours, "LLMOS_WORKER_THREADS": "1"}, tmp_path) as made:
        create_topics(made.settings, [f"{made.settings.reply_prefix}gateway"])
        yield made


@pytest.fixture
def gateway(place: Installation) -> Stage:
    """Ready, and stages behind it."""
    started = place.stage("gateway", LLMOS_HTTP_PORT=str(free_port()))
    started.launch()
    place.start_both()
    started.wait_until_ready()
    return started


def test_an_outage_is_told_soon_and_over_when_the_broker_is_back(kafka: ApacheKafka, gateway: Stage) -> None:
    (url,) = [line.rpartition(" ")[2] for line in gateway.log.splitlines() if "listening at" in line]
    with httpx.Client(base_url=url, timeout=60) as client:

        def ask() -> tuple[int, float]:
            began = time.monotonic()
            return client.post("/v1/jobs?wait=20", json={"text": "hello"}).status_code, time.monotonic() - began

        assert ask()[0] == 200
        kafka.stop("--kill")
        with ThreadPoolExecutor(8) as clients:
            found = [asking.result() for asking in [clients.submit(ask) for _ in range(16)]]
        assert {status for status, _ in found} == {503}, gateway.log
        assert max(took_s for _, took_s in found) < SOON_S
        assert gateway.alive
        kafka.start()
        wait_until(lambda: ask()[0] == 200, lambda: gateway.log, 90)
    assert gateway.terminate() == exits.OK, gateway.log
