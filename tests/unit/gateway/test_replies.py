"""Reading replies: from where the last life ended, whatever lies there, and from elsewhere what no reply tells."""

import asyncio
import threading
import time
from itertools import count
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError
from prometheus_client import REGISTRY

from pipeline.gateway import lookup
from pipeline.gateway.contract import Late
from pipeline.gateway.ledger import Ledger
from pipeline.gateway.lookup import made_at_ms
from pipeline.gateway.outcome import outcome_of
from pipeline.gateway.replies import start
from schemas.errors import TransientError
from schemas.ids import new_job_id
from tests.support.desk import dead_letter
from tests.support.desk import outcome_of as answer
from tests.support.gateway import DEAD, REPLIES, RESULTS, GatewayWorld, job, jobs, make_gateway_world, story, until


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayWorld:
    return make_gateway_world(monkeypatch, tmp_path)


@pytest.fixture
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks at once and all the time for what has no outcome."""
    monkeypatch.setattr(lookup, "EVERY_S", 0.01)
    monkeypatch.setattr(lookup, "AFTER_S", 0)


def counted(kind: str) -> float:
    return REGISTRY.get_sample_value("llmos_gateway_replies_total", {"kind": kind}) or 0


@story
async def test_a_first_life_begins_at_the_end_and_a_second_where_the_first_one_stopped(world: GatewayWorld) -> None:
    world.reply(jobs(3, "old"))
    async with world.running():
        world.reply(jobs(2, "first"))
        await until(lambda: len(world.sink.took) == 2, "both")
    world.reply(jobs(2, "between"))
    async with world.running():
        world.reply(jobs(2, "second"))
        await until(lambda: len(world.sink.took) == 6, "all")
    assert sorted(world.sink.ids) == [f"{name}-{number}" for name in ("between", "first", "second") for number in range(2)]


@story
async def test_a_life_that_read_nothing_still_knows_where_it_began(world: GatewayWorld) -> None:
    async with world.running():
        pass
    world.reply(jobs(2))
    async with world.running():
        await until(lambda: len(world.sink.took) == 2, "what came between")


@story
async def test_a_topic_that_was_made_anew_is_read_from_its_start_also_when_it_has_grown(world: GatewayWorld) -> None:
    async with world.running():
        world.reply(jobs(20))
        await until(lambda: len(world.sink.took) == 20, "all")
    world.kafka.topics[REPLIES] = [[], []]
    async with world.running():
        pass
    world.reply(jobs(40, "anew"))
    world.sink.took.clear()
    async with world.running():
        await until(lambda: len(world.sink.took) == 40, "all of the new topic")


@pytest.mark.parametrize(
    ("known", "new", "expected"),
    [
        (None, True, 10),  # never read
        (None, False, 0),  # a partition that was added
        (0, False, 0),
        (7, False, 7),
        (10, False, 10),
        (11, False, 0),  # another topic of the same name
    ],
)
def test_where_a_partition_is_read_on(known: int | None, new: bool, expected: int) -> None:  # noqa: FBT001
    assert start(known, 10, new=new) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"no json",
        b"\xff",
        b"[]",
        b"{}",
        b'{"verdict": "allow"}',
        b'{"job_id": "a", "verdict": "allow"}',
        b'{"job_id": "a", "code": "empty_text"}',
        dead_letter(job("a")).model_copy(update={"job_id": None}).model_dump_json().encode(),
    ],
)
def test_what_is_neither_a_result_nor_a_dead_letter_of_a_job_is_no_outcome(value: bytes | None) -> None:
    assert outcome_of(value) is None


@pytest.mark.parametrize("text", ["hello", "you idiot", "BURY"])
def test_results_and_dead_letters_are_told_apart_by_what_they_hold(text: str) -> None:
    expected = answer(job("a", text))
    assert outcome_of(expected.value) == expected


@story
async def test_unreadable_replies_are_counted_and_passed_over(world: GatewayWorld) -> None:
    before = counted("unreadable")
    async with world.running():
        for value in (b"no json", None, b"{}"):
            world.kafka.append(REPLIES, value, b"job-0")
        world.reply(jobs(1))
        await until(lambda: world.sink.took, "the readable one")
        await until(lambda: counted("unreadable") == before + 3, "all counted")
    assert world.ended == []


@story
async def test_a_repeated_reply_is_harmless(world: GatewayWorld) -> None:
    async with world.running() as desk:
        await desk.hand_over(jobs(1))
        asked = asyncio.create_task(desk.ask([job("asked")]))
        await world.published(2)
        for _ in range(3):
            world.reply([*jobs(1), job("asked")])
        assert len(await asked) == 1
        await until(lambda: len(world.sink.took) == 6, "all repeats")
    assert world.ended == []


@story
async def test_an_outcome_is_taken_again_where_a_killed_gateway_had_not_noted_it(world: GatewayWorld) -> None:
    async with world.running() as desk:
        await desk.hand_over(jobs(1))
        before = Ledger(world.folder / "desk-llmos.replies.gateway.sqlite3").positions({REPLIES})
        world.reply(jobs(1))
        await until(lambda: world.sink.took, "its outcome")
    note = Ledger(world.folder / "desk-llmos.replies.gateway.sqlite3")
    assert note.handed_over(0) == {}
    note.store(before)
    note.close()
    async with world.running():
        await until(lambda: world.sink.ids == ["job-0", "job-0"], "the same again")


@story
async def test_jobs_of_an_earlier_life_take_room_until_their_outcome_comes(world: GatewayWorld) -> None:
    async with world.running() as desk:
        await desk.hand_over(jobs(3))
    async with world.running(gateway_batch_in_flight_jobs=3) as desk:
        more = asyncio.create_task(desk.hand_over([job("more")]))
        await until(desk._room._turn.locked, "its wait for room")
        world.reply(jobs(1))
        await more
    assert len(world.jobs) == 4


@story
async def test_a_broker_that_is_away_for_a_while_is_waited_for(world: GatewayWorld) -> None:
    tries = count()

    def away(name: str) -> None:
        if name == "poll" and next(tries) in range(5, 8):
            raise KafkaTimeoutError("away")

    async with world.running() as desk:
        await until(desk.replies.opened.done, "the reading")
        world.kafka.step = away
        await until(lambda: next(tries) > 9, "the trouble to be over")
        world.reply(jobs(1))
        await until(lambda: world.sink.took, "the outcome")
    assert world.ended == []


@story
async def test_a_broker_that_stays_away_ends_the_gateway(world: GatewayWorld) -> None:
    def away(name: str) -> None:
        if name in {"poll", "end_offsets"}:
            raise KafkaTimeoutError("away")

    async with world.running(kafka_delivery_timeout_ms=300):
        world.kafka.step = away
        await until(lambda: world.ended, "the end")
    assert [type(error) for error in world.ended] == [TransientError]


@story
@pytest.mark.usefixtures("_eager")
async def test_an_outcome_without_a_reply_is_found_among_the_results_and_the_dead_letters(world: GatewayWorld) -> None:
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask([job("a"), job("b", "BURY")]))
        await world.published(2)
        world.reply([job("stranger"), job("a")], RESULTS)
        world.reply([job("b", "BURY")], DEAD)
        found = await asked
    assert [(one.job_id, one.dead) for one in found] == [("a", False), ("b", True)]
    assert sorted(world.sink.ids) == ["a", "b"], "what nobody waits for is passed over"


@story
@pytest.mark.usefixtures("_eager")
async def test_outcomes_of_an_earlier_life_are_found_though_they_were_never_replied(world: GatewayWorld) -> None:
    async with world.running() as desk:
        await desk.hand_over(jobs(3))
    world.reply(jobs(3), RESULTS)
    async with world.running():
        await until(lambda: len(world.sink.took) == 3, "all three")
    async with world.running() as desk:
        assert desk._since() == {}


@story
@pytest.mark.usefixtures("_eager")
async def test_what_only_a_sink_knows_of_is_looked_for_as_well(world: GatewayWorld) -> None:
    known = new_job_id()
    world.reply([job(known), job("batch line 1")], RESULTS)
    world.sink.waits_for = [known, "batch line 1"]
    async with world.running():
        await until(lambda: len(world.sink.took) >= 2, "both")
    assert set(world.sink.ids) == {known, "batch line 1"}


@story
@pytest.mark.usefixtures("_eager")
async def test_each_look_reads_on_where_the_last_one_ended(world: GatewayWorld) -> None:
    async with world.running() as desk:
        await desk.hand_over(jobs(1))
        world.reply([job("stranger")], RESULTS)
        ledger = desk._ledger
        await until(lambda: sum(ledger.positions({RESULTS}).values()) == 1, "a look that found nothing")
        await desk.hand_over([job("later")])
        world.reply([job("later")], RESULTS)
        await until(lambda: world.sink.ids == ["later"], "the later one")
        await until(lambda: sum(ledger.positions({RESULTS}).values()) == 2, "the note")


@story
@pytest.mark.usefixtures("_eager")
async def test_results_that_cannot_be_read_for_a_while_harm_nobody(world: GatewayWorld) -> None:
    def away(name: str) -> None:
        if name == "offsets_for_times":
            raise KafkaTimeoutError("away")

    world.sink.waits_for = ["a"]
    async with world.running() as desk:
        world.kafka.step = away
        asked = asyncio.create_task(desk.ask([job("a")], wait_s=0.3))
        await world.published(1)
        world.reply([job("a")], RESULTS)
        with pytest.raises(Late):
            await asked
        world.kafka.step = lambda _: None
        await until(lambda: world.sink.took, "the outcome")
    assert world.ended == []


@story
@pytest.mark.usefixtures("_eager")
async def test_a_request_that_ends_while_a_look_begins_loses_nothing(world: GatewayWorld) -> None:
    over = threading.Event()
    async with world.running() as desk:
        asked = asyncio.create_task(desk.ask([job("a")], wait_s=0.1))
        await world.published(1)
        world.reply([job("a")], RESULTS)
        world.sink.waits_for = ["a"]
        world.kafka.step = lambda name: over.wait() if name == "end_offsets" else None
        with pytest.raises(Late):
            await asked
        over.set()
        await until(lambda: world.sink.took, "the outcome")


def test_the_time_of_an_id_is_read_where_it_has_one() -> None:
    now_ms = time.time_ns() // 1_000_000
    assert now_ms <= (made_at_ms(new_job_id()) or 0) <= now_ms + 1000
    assert made_at_ms("batch_1-17") is None
    assert made_at_ms("2f1f5a0e-6f0a-4c8e-9d0b-0123456789ab") is None


def test_positions_and_outcomes_are_noted_together(tmp_path: Path) -> None:
    place = TopicPartition(REPLIES, 1)
    ledger = Ledger(tmp_path / "desk.sqlite3")
    ledger.hand_over(["a", "b"], 5)
    ledger.hand_over(["b", "c"], 9)
    ledger.store({place: 7}, ["a"])
    ledger.close()
    again = Ledger(tmp_path / "desk.sqlite3")
    assert again.positions({REPLIES}) == {place: 7}
    assert again.handed_over(0) == {"b": 5, "c": 9}
    assert again.handed_over(6) == again.handed_over(0) == {"c": 9}
    again.close()
