"""What a stage has in hand and what waits for it: asked for, and never in the way of a job."""

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from prometheus_client import CollectorRegistry

from pipeline import gauges, metrics
from pipeline.backlog import Waiting
from pipeline.clock import now_ms
from pipeline.collectors import AskedGauge
from pipeline.gauges import LagWatch, show_in_hand
from tests.support.exposition import sample
from tests.support.waiting import wait_until

PLACE = ("jobs", 3)


class Broker:
    """A backlog of one answer."""

    def __init__(self, answer: Waiting | Exception) -> None:
        self.answer = answer
        self.asked = 0

    def waiting(self, partitions: Any) -> Mapping[tuple[str, int], Waiting]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict.fromkeys(partitions, self.answer)


def watch(broker: Broker, positions: gauges.Positions) -> LagWatch:
    return LagWatch("worker", broker, lambda: positions)  # type: ignore[arg-type]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Where the lag is shown in this test."""
    made = CollectorRegistry()
    monkeypatch.setattr(metrics, "LAG_RECORDS", AskedGauge("lag", "Lag.", ["stage", "topic", "partition"], registry=made))
    return made


@pytest.mark.parametrize(("position", "lag"), [(None, 7), (9, 1), (12, 0)])
def test_the_lag_counts_from_what_is_committed_unless_we_know_better(position: int | None, lag: int) -> None:
    assert watch(Broker(Waiting(3, 10)), {}).look({PLACE: position}) == {("worker", "jobs", "3"): lag}


def test_nobody_is_asked_while_no_partition_is_ours() -> None:
    broker = Broker(Waiting(0, 9))
    assert watch(broker, {}).look({}) == {}
    assert broker.asked == 0


def test_a_lag_that_the_broker_does_not_tell_is_not_shown() -> None:
    assert watch(Broker(KafkaTimeoutError()), {}).look({PLACE: None}) == {}


@pytest.fixture
def started(registry: CollectorRegistry) -> Iterator[Broker]:
    broker = Broker(Waiting(3, 10))
    watching = watch(broker, {PLACE: None})
    watching.start(9100)
    yield broker
    watching.stop()


def test_prometheus_sees_the_lag_from_the_start_on(registry: CollectorRegistry, started: Broker) -> None:
    labels = {"stage": "worker", "topic": "jobs", "partition": "3"}
    assert wait_until(lambda: registry.get_sample_value("lag", labels), "a lag") == 7


def test_the_lag_is_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch, registry: CollectorRegistry) -> None:
    monkeypatch.setattr(gauges, "LAG_EVERY_S", 0.001)
    broker = Broker(Waiting(3, 10))
    watching = watch(broker, {PLACE: None})
    watching.start(9100)
    wait_until(lambda: broker.asked > 3, "several questions")
    watching.stop()
    wait_until(lambda: "lag" not in {thread.name for thread in threading.enumerate()}, "the end of the thread")


def test_without_a_port_nobody_asks_anything(registry: CollectorRegistry) -> None:
    watch(broker := Broker(Waiting(3, 10)), {PLACE: None}).start(0)
    assert broker.asked == 0
    assert "lag" not in {thread.name for thread in threading.enumerate()}


def test_the_oldest_in_hand_ages_and_its_age_falls_to_nothing_with_it() -> None:
    records = [now_ms() - 5_000]
    show_in_hand("here", lambda: len(records), lambda: records[0] if records else None)
    assert sample("llmos_records_in_flight", stage="here") == 1
    assert 5 <= sample("llmos_oldest_waiting_seconds", stage="here") < 60
    records.clear()
    assert sample("llmos_records_in_flight", stage="here") == sample("llmos_oldest_waiting_seconds", stage="here") == 0


def test_a_clock_that_is_ahead_makes_nothing_younger_than_new() -> None:
    show_in_hand("ahead", lambda: 1, lambda: now_ms() + 60_000)
    assert sample("llmos_oldest_waiting_seconds", stage="ahead") == 0
