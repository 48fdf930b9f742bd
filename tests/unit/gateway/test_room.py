"""Room for batches: first come, first served; what is lost leaves it in the end."""

import asyncio

import pytest

from pipeline.gateway.contract import Unavailable
from pipeline.gateway.room import KEPT_S, Room
from tests.support.gateway import story, until


class Clock:
    """Unix milliseconds, moved by the test."""

    def __init__(self) -> None:
        self.ms = 1_000

    def __call__(self) -> int:
        return self.ms


@story
async def test_whoever_comes_first_gets_room_first() -> None:
    room, got = Room(2, {}), list[str]()

    async def take(*names: str) -> None:
        await room.take(names)
        got.extend(names)

    await take("a", "b")
    waiting = [asyncio.create_task(take("c", "d")), asyncio.create_task(take("e"))]
    await asyncio.sleep(0)
    room.leave(["a"])
    await asyncio.sleep(0.01)
    assert got == ["a", "b"], "e would fit, but is not first"
    room.leave(["b", "stranger"])
    await until(lambda: got == ["a", "b", "c", "d"], "c and d")
    room.leave(["c"])
    await asyncio.gather(*waiting)
    assert set(room.since()) == {"d", "e"}


@story
async def test_what_is_handed_over_again_takes_no_more_room_and_keeps_its_time() -> None:
    clock = Clock()
    room = Room(2, {"a": 500}, clock)
    await room.take(["a", "b"])
    clock.ms = 2_000
    await room.take(["a", "b"])
    assert room.since() == {"a": 500, "b": 1_000}


@story
async def test_a_job_that_has_no_outcome_for_too_long_takes_no_room(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    room = Room(1, {}, clock)
    await room.take(["lost"])
    clock.ms += 1000 * KEPT_S + 1
    await room.take(["next"])
    assert list(room.since()) == ["next"]
    assert "lost" in caplog.text


@story
async def test_a_closed_room_turns_everybody_away() -> None:
    room = Room(1, {"a": 0}, Clock())
    waiting = asyncio.create_task(room.take(["b"]))
    await asyncio.sleep(0)
    room.close(Unavailable("stopping"))
    for take in (waiting, room.take([]), room.take(["c"])):
        with pytest.raises(Unavailable, match="stopping"):
            await take
