"""Processes that stand still, each in another way: they notice it themselves, say where, and another one does their work."""

import sys
import time
from collections.abc import Callable
from uuid import uuid4

import pytest

from pipeline import exits
from pipeline.publish import JobPublisher
from schemas.jobs import TextJob
from tests.support.ledger import Ledger
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

STUCK_AFTER_S = 3
LEFT_ALONE_S = 2 * STUCK_AFTER_S

RUN = """
import asyncio, sys, time
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from pipeline.preprocess.app import run_preprocess
from pipeline.preprocess.stage import Stage
from pipeline.settings import Settings

async def hang(*_, **__):
    await asyncio.sleep(600)

{fault}
sys.exit(run_preprocess(Settings()))
"""
REJOIN = """
join = GroupCoordinator._do_rejoin_group

async def join_once(self, subscription):
    if getattr(self, "joined", False):
        print("rejoining", flush=True)
        await hang()
    self.joined = await join(self, subscription)
    if self.joined:
        asyncio.get_running_loop().call_later(0.5, self.request_rejoin)
    return self.joined

GroupCoordinator._do_rejoin_group = join_once
"""
FAULTS = {
    "a stage that blocks": ("Stage.run = lambda self, records: time.sleep(600)", "thread stage_0"),
    "fetches that are never sent": ("AIOKafkaConsumerThread._fetch_records = hang", "in _fetch_records"),
    "a commit that never ends": ("AIOKafkaConsumerThread.commit = hang", "in force_commit"),
    "a rejoin that never ends": (REJOIN, "in join_once"),
}
"""What stands still, how it is made to, and what the log then names."""


def publish(place: Installation, count: int = 20) -> list[str]:
    """The ids of so many new jobs."""
    jobs = [TextJob(job_id=uuid4().hex, text="you idiot") for _ in range(count)]
    with JobPublisher(place.settings) as publisher:
        for job in jobs:
            publisher.publish(job)
    return [job.job_id for job in jobs]


Preprocess = Callable[[str], Stage]


@pytest.fixture
def preprocess(place: Installation) -> Preprocess:
    """Makes a preprocess app with a fault in it, not yet started."""

    def make(fault: str) -> Stage:
        stage = place.stage("preprocess", LLMOS_STUCK_AFTER_S=str(STUCK_AFTER_S))
        stage._command = [sys.executable, "-c", RUN.format(fault=fault)]
        return stage

    return make


@pytest.mark.parametrize("name", FAULTS)
def test_a_preprocess_app_that_stands_still_exits_and_the_next_one_loses_nothing(
    place: Installation, ledger: Ledger, preprocess: Preprocess, name: str
) -> None:
    fault, said = FAULTS[name]
    stuck = preprocess(fault)
    stuck.start()
    if fault == REJOIN:
        wait_until(lambda: "rejoining" in stuck.log, "the rejoin to begin")
    ids = publish(place)
    assert stuck.wait() == exits.TRANSIENT, stuck.log
    assert "stuck: 3 partitions are ours and " in stuck.log
    assert said in stuck.log
    assert not stuck.ready
    well, worker = place.stage("preprocess"), place.stage("worker")
    well.start()
    worker.start()
    ledger.wait_for(ids)
    well.terminate()
    worker.terminate()


def test_a_worker_whose_model_hangs_exits_and_the_next_one_loses_nothing(place: Installation, ledger: Ledger) -> None:
    preprocess, worker = place.stage("preprocess"), place.stage("worker")
    preprocess.start()
    worker.start(LLMOS_TEST_FAULTS="slow:600000", LLMOS_STUCK_AFTER_S=str(STUCK_AFTER_S))
    ids = publish(place)
    assert worker.wait() == exits.TRANSIENT, worker.log
    assert "stuck: 3 partitions are ours and " in worker.log
    assert "workers/faults.py" in worker.log
    assert not worker.ready
    worker.start()
    ledger.wait_for(ids)
    assert not ledger.dead
    worker.terminate()
    preprocess.terminate()


def test_who_works_or_idles_is_left_alone(place: Installation, ledger: Ledger) -> None:
    bound = {"LLMOS_STUCK_AFTER_S": "1"}
    preprocess, worker = place.stage("preprocess"), place.stage("worker")
    preprocess.start(**bound)
    worker.start(**bound)
    ledger.wait_for(publish(place))
    ends_at = time.monotonic() + LEFT_ALONE_S
    wait_until(lambda: time.monotonic() > ends_at, "idle time to pass")
    ledger.wait_for(publish(place))
    assert (preprocess.terminate(), worker.terminate()) == (exits.OK, exits.OK)
