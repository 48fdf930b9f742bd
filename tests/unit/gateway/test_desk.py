"""The desk: every job gets its outcome or a clear word, whatever Kafka does; what waits is bounded; nothing kept is lost."""

import asyncio
from pathlib import Path

import pytest
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from pipeline.gateway import asking
from pipeline.gateway.contract import Late, Overloaded, Unavailable
from schemas.errors import ConfigurationError, TransientError
from tests.support.gateway import (
    DEAD,
    JOBS,
    REPLIES,
    RESULTS,
    GatewayWorld,
    job,
    jobs,
    make_gateway_world,
    story,
    until,
)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayWorld:
    return make_gateway_world(monkeypatch, tmp_path)


@story
async def test_a_request_gets_the_outcome_of_each_job_in_order(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask([job("a"), job("b", "you idiot"), job("c", "BURY"), job("a")]))
        world.reply(reversed((await world.published(4))[:3]))
        found = await asked
    assert [(one.job_id, one.dead) for one in found] == [("a", False), ("b", False), ("c", True), ("a", False)]
    assert found[1].result().verdict == "block"
    assert found[2].result().code == "empty_text"


@story
async def test_each_job_of_a_request_is_a_record_of_its_own_that_names_the_reply_topic(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask(jobs(2)))
        world.reply(await world.published(2))
        await asked
    assert sorted(record.key for record in world.kafka.records(JOBS)) == [b"job-0", b"job-1"]
    assert {(one.reply_to, one.deadline) for one in world.jobs} == {(REPLIES, None)}


@story
async def test_nothing_asked_is_answered_at_once(world: GatewayWorld) -> None:
    async with world.running() as desk:
        assert await desk.ask([]) == []
    assert world.jobs == []


@story
async def test_jobs_that_are_handed_over_share_records_and_their_outcomes_go_to_the_sinks(world: GatewayWorld) -> None:
    async with world.running(publish_bulk_jobs=4) as desk:
        await desk.hand_over(jobs(6))
        assert [len(value.split(b'"job_id"')) - 1 for value in world.kafka.values(JOBS)] == [4, 2]
        assert {one.reply_to for one in world.jobs} == {REPLIES}
        world.reply(world.jobs)
        await until(lambda: len(world.sink.took) == 6, "all outcomes")
    assert sorted(world.sink.ids) == [f"job-{number}" for number in range(6)]


@story
async def test_two_requests_about_one_job_both_get_its_outcome(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = [asyncio.create_task(desk.ask([job("same")])) for _ in range(2)]
        await world.published(2)
        world.reply([job("same")])
        assert [one.job_id for found in await asyncio.gather(*asked) for one in found] == ["same", "same"]


@story
async def test_a_request_that_waits_too_long_is_told_what_is_missing_and_is_forgotten(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask(jobs(3), wait_s=0.2))
        world.reply((await world.published(3))[:1])
        with pytest.raises(Late) as late:
            await asked
        assert sorted(late.value.job_ids) == ["job-1", "job-2"]
        assert desk._since() == {}
        world.reply(jobs(3))
        await until(lambda: len(world.sink.took) == 4, "the late ones")


@story
async def test_a_request_too_many_is_turned_away_before_anything_is_published(world: GatewayWorld) -> None:
    async with world.running(gateway_in_flight_jobs=3) as desk:
        first = asyncio.create_task(desk.ask(jobs(2)))
        await world.published(2)
        with pytest.raises(Overloaded) as refused:
            await desk.ask(jobs(2, "more"))
        assert refused.value.retry_after_s >= 1
        world.reply(world.jobs)
        await first
        assert len(world.jobs) == 2
        second = asyncio.create_task(desk.ask(jobs(2, "more")))
        world.reply(await world.published(4))
        await second


@story
async def test_a_request_larger_than_the_bound_is_let_in_when_it_is_alone(world: GatewayWorld) -> None:
    async with world.running(gateway_in_flight_jobs=3) as desk:
        large = asyncio.create_task(desk.ask(jobs(5)))
        await world.published(5)
        with pytest.raises(Overloaded):
            await desk.ask([job("small")])
        world.reply(world.jobs)
        assert len(await large) == 5


@story
async def test_kafka_that_does_not_confirm_is_told_soon_and_blocks_nobody(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CONFIRM_S", 0.1)
    world.kafka.holding = True
    async with world.running(gateway_in_flight_jobs=1) as desk:
        for name in ("a", "b"):
            with pytest.raises(Unavailable, match="does not confirm"):
                await desk.ask([job(name)])
        world.kafka.holding = False
        asked = asyncio.create_task(desk.ask([job("c")]))
        await world.published(1)
        world.reply([job("c")])
        await asked
    assert world.ended == []


@story
async def test_an_outcome_counts_whether_or_not_the_publishing_was_confirmed(
    world: GatewayWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "CONFIRM_S", 0.5)
    world.kafka.holding = True
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask([job("a")]))
        await until(lambda: world.kafka.held, "the job")
        world.reply([job("a")])
        assert len(await asked) == 1


@story
async def test_kafka_that_takes_nothing_is_unavailable_and_the_gateway_goes_on(world: GatewayWorld) -> None:
    async with world.running() as desk:
        world.kafka.refused[JOBS] = KafkaTimeoutError("no leader")
        with pytest.raises(Unavailable, match="no leader"):
            await desk.ask([job("a")])
        with pytest.raises(Unavailable, match="no leader"):
            await desk.hand_over([job("b")])
        del world.kafka.refused[JOBS]
        await desk.hand_over([job("b")])
    assert world.ended == []


@story
@pytest.mark.parametrize("way", ["ask", "hand_over"])
async def test_a_right_that_was_taken_away_ends_the_gateway(world: GatewayWorld, way: str) -> None:
    async with world.running() as desk:
        world.kafka.refused[JOBS] = TopicAuthorizationFailedError()
        with pytest.raises(Unavailable):
            await getattr(desk, way)([job("a")])
        await until(lambda: world.ended, "the end")
        with pytest.raises(Unavailable, match="going down"):
            await desk.ask([job("b")])
    assert [type(error) for error in world.ended] == [ConfigurationError]


@story
async def test_a_batch_waits_for_room_and_takes_turns(world: GatewayWorld) -> None:
    async with world.running(gateway_batch_in_flight_jobs=4) as desk:
        first = asyncio.create_task(desk.hand_over(jobs(6, "first")))
        await world.published(4)
        second = asyncio.create_task(desk.hand_over(jobs(1, "second")))
        world.reply(world.jobs[:1])
        await until(lambda: len(world.sink.took) == 1, "an outcome")
        assert len(world.jobs) == 4
        world.reply(world.jobs[1:])
        await asyncio.gather(first, second)
    assert len(world.jobs) == 7


@story
async def test_a_batch_that_waits_for_room_holds_up_no_request(world: GatewayWorld) -> None:
    async with world.running(gateway_batch_in_flight_jobs=1) as desk:
        batch = asyncio.create_task(desk.hand_over(jobs(2, "batch")))
        await world.published(1)
        asked = asyncio.create_task(desk.ask([job("request")]))
        world.reply((await world.published(2))[-1:])
        world.reply([job("request")])
        await asked
        batch.cancel()
        await asyncio.gather(batch, return_exceptions=True)


@story
async def test_what_was_not_taken_may_be_handed_over_again_and_takes_no_room_meanwhile(world: GatewayWorld) -> None:
    async with world.running(gateway_batch_in_flight_jobs=2) as desk:
        for _ in range(3):
            world.kafka.refused[JOBS] = KafkaTimeoutError("away")
            with pytest.raises(Unavailable):
                await desk.hand_over(jobs(2))
        del world.kafka.refused[JOBS]
        await desk.hand_over(jobs(2))
        await desk.hand_over(jobs(2))
    assert [one.job_id for one in world.jobs] == ["job-0", "job-1"] * 2


@story
async def test_the_sinks_have_an_outcome_before_the_request_hears_of_it(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask([job("a")]))
        await world.published(1)
        done: list[bool] = []
        world.sink.watching = lambda: done.append(asked.done())
        world.reply([job("a")])
        await asked
    assert done == [False]
    assert world.sink.ids == ["a"]


@story
async def test_a_sink_that_fails_ends_the_gateway_and_gets_everything_again_after_a_restart(world: GatewayWorld) -> None:
    async with world.running() as desk:
        world.sink.error = OSError("disk full")
        asked = asyncio.create_task(desk.ask([job("a")]))
        world.reply(await world.published(1))
        with pytest.raises(Unavailable, match="going down"):
            await asked
    assert [str(error) for error in world.ended] == ["disk full"]
    world.sink.error = None
    async with world.running():
        await until(lambda: world.sink.took, "the outcome")
    assert world.sink.ids == ["a"]


@story
async def test_a_stop_tells_everybody_who_waits(world: GatewayWorld) -> None:
    async with world.running(gateway_batch_in_flight_jobs=1) as desk:
        asked = asyncio.create_task(desk.ask([job("a")]))
        batch = asyncio.create_task(desk.hand_over(jobs(2, "batch")))
        await world.published(2)
    for waiting in (asked, batch):
        with pytest.raises(Unavailable, match="stopping"):
            await waiting
    with pytest.raises(Unavailable, match="stopping"):
        await world.desk.ask([job("late")])


@story
async def test_no_broker_is_said_at_the_start(world: GatewayWorld) -> None:
    def away(_: str) -> None:
        raise KafkaTimeoutError("broker away")

    world.kafka.step = away
    with pytest.raises(TransientError, match="broker away"):
        async with world.running(kafka_delivery_timeout_ms=1):
            pytest.fail("there is no broker")
    assert world.ended == []


@story
async def test_a_reply_topic_that_is_not_there_is_said_at_the_start(world: GatewayWorld) -> None:
    del world.kafka.topics[REPLIES]
    with pytest.raises(ConfigurationError, match=REPLIES):
        async with world.running():
            pytest.fail("nothing could be read")


def test_the_desk_touches_no_other_topic(world: GatewayWorld) -> None:
    @story
    async def once() -> None:
        async with world.running() as desk:
            await desk.hand_over(jobs(3))

    once()
    assert world.kafka.records(RESULTS) == world.kafka.records(DEAD) == []
