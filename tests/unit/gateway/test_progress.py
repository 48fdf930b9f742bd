"""What the watchdog sees of the replies: what was read, and what waits although nobody reads it."""

from pathlib import Path

import pytest

from pipeline.gateway.progress import ReplyProgress
from tests.support.gateway import GatewayWorld, jobs, make_gateway_world, story, until


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayWorld:
    return make_gateway_world(monkeypatch, tmp_path)


@story
async def test_reading_counts_as_progress_and_what_is_not_read_as_lag(world: GatewayWorld) -> None:
    async with world.running() as desk:
        progress = ReplyProgress(world.settings, desk.replies)
        before = progress.counts()
        world.reply(jobs(3))
        await until(lambda: len(world.sink.took) == 3, "all read")
        assert (before, progress.counts(), progress.lag()) == ((2, 0), (2, 3), 0)
    world.reply(jobs(4, "unread"))
    assert (progress.counts(), progress.lag()) == ((2, 3), 4)
