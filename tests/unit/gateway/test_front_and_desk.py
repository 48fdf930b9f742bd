"""The own API over the real desk and an in-memory Kafka: jobs on the topic, outcomes in the store, and kills in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from pipeline.gateway.desk import KafkaDesk
from tests.support.front import make_gateway, sinks_of
from tests.support.gateway import WAIT_S, GatewayWorld, make_gateway_world, story


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayWorld:
    return make_gateway_world(monkeypatch, tmp_path)


@asynccontextmanager
async def running(world: GatewayWorld) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway, started and stopped as its process does, and a client."""
    desk = KafkaDesk(world.settings, world.folder, world.ended.append)
    app = make_gateway(world.folder, desk).app
    await desk.start(sinks_of(app))
    transport = httpx.ASGITransport(app)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=20) as client,
        ):
            yield client
    finally:
        await desk.stop()


async def becomes(client: httpx.AsyncClient, job_id: str, expected: str) -> None:
    """The job has this status, at last."""
    async with asyncio.timeout(WAIT_S):
        while True:
            if await status(client, job_id) == expected:
                return
            await asyncio.sleep(0.005)


async def status(client: httpx.AsyncClient, job_id: str) -> str:
    """Of a job, now."""
    found: str = (await client.get(f"/v1/jobs/{job_id}")).json()["status"]
    return found


@story
async def test_jobs_go_out_and_their_outcomes_come_back(world: GatewayWorld) -> None:
    async with running(world) as client:
        reply = await client.post("/v1/jobs", json={"jobs": [{"text": "you idiot"}, {"text": "BURY"}]})
        ids = [job["id"] for job in reply.json()["data"]]
        jobs = await world.published(2)
        assert [job.job_id for job in jobs] == ids
        assert {job.reply_to for job in jobs} == {"llmos.replies.gateway"}
        world.reply(jobs)
        for job_id, expected in zip(ids, ("done", "dead"), strict=True):
            await becomes(client, job_id, expected)
    assert world.ended == []


@story
async def test_who_waits_is_answered_when_the_reply_comes_and_can_ask_again(world: GatewayWorld) -> None:
    async with running(world) as client:
        late = await client.post("/v1/jobs?wait=0.2", json={"text": "hello"})
        assert late.status_code == 504
        (job_id,) = late.json()["error"]["job_ids"]
        assert await status(client, job_id) == "pending"
        world.reply(await world.published(1))
        await becomes(client, job_id, "done")


@story
async def test_an_outcome_that_came_while_the_gateway_was_down_is_there_after_its_start(world: GatewayWorld) -> None:
    async with running(world) as client:
        job_id = (await client.post("/v1/jobs", json={"text": "hello"})).json()["id"]
        jobs = await world.published(1)
    world.reply(jobs)
    async with running(world) as client:
        await becomes(client, job_id, "done")
    assert len(world.jobs) == 1
