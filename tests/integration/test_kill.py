"""Processes that are killed or stopped in the middle of a publish: nothing is lost, nothing invented, nobody buried."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from kafka import TopicPartition

from pipeline.kafka import notes_folder
from pipeline.publish import JobPublisher
from pipeline.topics import admin, work_topics
from schemas.jobs import TextJob
from tests.support.ledger import Ledger, lags, unvarying
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

FLOWING = 60
"""Outcomes that must have come since the last fault before the next one: so each strikes in the middle."""
UNDER_WAY = 600
"""Jobs published and without a result, about, at most: what a slow machine must catch up with after each fault."""
SLOW = "slow:50"
"""Milliseconds more for every chunk of a worker, so that there is always one under way."""


class Traffic:
    """Jobs without end, from a thread of its own; `ids` are those whose delivery was confirmed."""

    def __init__(self, place: Installation, ledger: Ledger, name: str) -> None:
        self._place = place
        self._ledger = ledger
        self._name = name
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.ids: set[str] = set()

    def start(self) -> None:
        """Publish from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more."""
        self._enough.set()
        self._thread.join()

    def _publish(self) -> None:
        with JobPublisher(self._place.settings, on_delivered=lambda done: self.ids.update(done.job_ids)) as publisher:
            published = 0
            while not self._enough.wait(0.02):
                if published - len(self._ledger.results) > UNDER_WAY:
                    continue
                jobs = [TextJob(job_id=f"{self._name}-{published + one}", text="you idiot, hello") for one in range(20)]
                publisher.publish_many(jobs[:15])
                for job in jobs[15:]:
                    publisher.publish(job)
                published += len(jobs)


@contextmanager
def traffic(place: Installation, ledger: Ledger, name: str) -> Iterator[Traffic]:
    """Traffic while the body runs; at its end, everything is delivered."""
    flowing = Traffic(place, ledger, name)
    flowing.start()
    try:
        yield flowing
    finally:
        flowing.stop()


def wait_for_flow(ledger: Ledger) -> None:
    """Until jobs come through again."""
    before = len(ledger.results)

    def flows() -> bool:
        ledger.poll()
        return len(ledger.results) >= before + FLOWING

    wait_until(flows, "jobs that come through", 60)


def assert_nothing_lost_or_invented(ledger: Ledger, ids: set[str]) -> None:
    """Every job has its result, no other has one, and repeats say the same."""
    ledger.wait_for(ids)
    ledger.settle()
    assert set(ledger.results) == ids
    assert not ledger.dead, "an operator's kill buries nobody"
    assert all(len({unvarying(result) for result in found}) == 1 for found in ledger.repeats().values())


@pytest.fixture(scope="module")
def stages(place: Installation) -> tuple[Stage, Stage]:
    """One preprocess app and one slow worker, with stable names."""
    return place.start_both(LLMOS_TEST_FAULTS=SLOW)


def test_kill_9_of_either_stage_loses_nothing(place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]) -> None:
    with traffic(place, ledger, "kill") as flowing:
        for stage in stages * 2:
            wait_for_flow(ledger)
            stage.kill()
            stage.start()
    assert_nothing_lost_or_invented(ledger, flowing.ids)


def test_kill_9_of_both_at_once_loses_nothing(place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]) -> None:
    with traffic(place, ledger, "both") as flowing:
        wait_for_flow(ledger)
        for stage in stages:
            stage.kill()
        for stage in stages:
            stage.launch()
        for stage in stages:
            stage.wait_until_ready()
    assert_nothing_lost_or_invented(ledger, flowing.ids)


def test_sigterm_drains_exits_0_and_repeats_nothing(place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]) -> None:
    with traffic(place, ledger, "term") as flowing:
        for stage in stages:
            wait_for_flow(ledger)
            assert stage.terminate() == os.EX_OK
            assert not stage.ready
            stage.start()
    assert_nothing_lost_or_invented(ledger, flowing.ids)
    assert not ledger.repeats()


def test_a_process_without_a_stable_name_is_replaced_by_its_like(
    place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]
) -> None:
    if place.embedded:
        pytest.skip("the embedded broker may keep a dead member's partitions for it")
    more = [place.stage(stage, f"second-{stage}", LLMOS_INSTANCE_ID="") for stage in ("preprocess", "worker")]
    with traffic(place, ledger, "join") as flowing:
        for stage in more:
            stage.start()
        wait_for_flow(ledger)
        for stage in more:
            stage.kill()
        wait_for_flow(ledger)
    assert_nothing_lost_or_invented(ledger, flowing.ids)


def test_a_worker_past_its_grace_exits_75_and_commits_nothing(
    place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]
) -> None:
    _, worker = stages
    worker.terminate()
    worker.start(LLMOS_TEST_FAULTS="slow:600000", LLMOS_SHUTDOWN_GRACE_S="1")
    with JobPublisher(place.settings) as publisher:
        publisher.publish(TextJob(job_id="grace", text="you idiot"))
    wait_until(lambda: _taken_up(place), "the worker takes the job up")
    assert worker.terminate() == os.EX_TEMPFAIL
    assert lags(place.settings)[1].behind == 1
    worker.start()
    ledger.wait_for(["grace"])
    ledger.settle()
    assert len(ledger.results["grace"]) == 1


def _taken_up(place: Installation) -> bool:
    """Whether a worker has marked where its chunk begins; see workers.attempts."""
    if notes := notes_folder(place.settings):
        return any(notes.glob("*.json"))
    (model, topic), *_ = work_topics(place.settings).items()
    group = place.settings.worker_group(model)
    partitions = [TopicPartition(topic, number) for number in range(place.settings.topic_partitions)]
    with admin(place.settings) as client:
        return any(found.metadata for found in client.list_group_offsets({group: partitions})[group].values())
