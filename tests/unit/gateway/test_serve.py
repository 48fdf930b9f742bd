"""One life of the gateway: it answers, finishes what it took up when it is told to stop, and says what ended it otherwise."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from kafka.errors import TopicAuthorizationFailedError

from pipeline.bundles import open_bundle
from pipeline.gateway.app import build_app
from pipeline.gateway.contract import Context
from pipeline.gateway.keys import KeyGate
from pipeline.gateway.place import listening, url_of
from pipeline.gateway.serve import Serving
from pipeline.ready import Readiness
from schemas.errors import ConfigurationError, LLMOSError, TransientError
from tests.support.front import policies_of
from tests.support.gateway import JOBS, GatewayWorld, make_gateway_world, story, until
from tests.support.toy import make_toy_bundle

ASK = {"input": "you idiot"}


class Life:
    """A gateway that serves, a client, and how it ends."""

    def __init__(self, world: GatewayWorld) -> None:
        self.world = world
        self.settings = world.settings.model_copy(update={"http_port": 0, "ready_file": world.folder / "ready"})
        self.serving = Serving(self.settings, world.folder, Readiness(self.settings))
        models = [open_bundle(make_toy_bundle(world.folder / "models")).manifest]
        gate = KeyGate(world.folder / "keys.json")
        context = Context(self.settings, self.serving.desk, gate, world.folder, policies_of(self.settings), models)
        self.serving.app = build_app(context)
        self.client: httpx.AsyncClient
        self.running: asyncio.Task[None]

    @property
    def ready(self) -> bool:
        """Whether it says so."""
        return bool(self.settings.ready_file and self.settings.ready_file.exists())

    @asynccontextmanager
    async def lived(self) -> AsyncIterator["Life"]:
        """Serving inside; whatever happens there, it has ended outside."""
        with listening(self.settings, keys=False) as listener:
            self.running = asyncio.create_task(self.serving.run(listener))
            async with httpx.AsyncClient(base_url=url_of(listener), timeout=20) as self.client:
                await until(lambda: self.ready or self.running.done(), "ready")
                yield self
            if not self.running.done():
                self.serving._stop()
            await asyncio.gather(self.running, return_exceptions=True)
            if grace := self.serving._grace:
                await until(lambda: not grace.is_alive(), "an end to the grace period, which would end the process")

    async def ended_by(self) -> BaseException | None:
        """What ended it."""
        await asyncio.wait([self.running])
        return self.running.exception()


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Life:
    return Life(make_gateway_world(monkeypatch, tmp_path))


@story
async def test_it_answers_and_says_that_it_is_ready_only_while_it_does(life: Life) -> None:
    assert not life.ready
    async with life.lived():
        asked = asyncio.create_task(life.client.post("/v1/moderations", json=ASK))
        life.world.reply(await life.world.published(1))
        reply = await asked
        assert (reply.status_code, reply.json()["results"][0]["flagged"]) == (200, True)
        assert life.ready
        life.serving._stop()
        assert not life.ready
        assert await life.ended_by() is None


@story
async def test_a_request_under_way_is_finished_before_it_ends(life: Life) -> None:
    async with life.lived():
        asked = asyncio.create_task(life.client.post("/v1/moderations", json=ASK))
        await life.world.published(1)
        life.serving._stop()
        await until(life.serving.app.state.draining.is_set, "the draining")
        life.world.reply(life.world.jobs)
        assert (await asked).status_code == 200
        assert await life.ended_by() is None
        with pytest.raises(httpx.TransportError):
            await life.client.get("/livez")


@story
async def test_a_stream_without_an_end_does_not_hold_it_up(life: Life) -> None:
    async with life.lived():
        async with life.client.stream("GET", "/v1/jobs/events", headers={"accept": "text/event-stream"}) as stream:
            assert stream.status_code == 200
            life.serving._stop()
            await stream.aread()
        assert await life.ended_by() is None


@story
async def test_outcomes_that_cannot_be_kept_end_it_so_that_it_is_started_again(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with life.lived():
        monkeypatch.setattr(life.world.sink, "error", OSError("No space left on device"))
        life.serving.desk.replies._sinks = [life.world.sink]
        asked = asyncio.create_task(life.client.post("/v1/moderations", json=ASK))
        life.world.reply(await life.world.published(1))
        assert (await asked).status_code == 503
        error = await life.ended_by()
    assert isinstance(error, TransientError)
    assert "No space left" in str(error)


@story
async def test_a_right_that_was_taken_away_ends_it_and_is_named(life: Life) -> None:
    async with life.lived():
        life.world.kafka.refused[JOBS] = TopicAuthorizationFailedError()
        assert (await life.client.post("/v1/moderations", json=ASK)).status_code == 503
        assert isinstance(await life.ended_by(), ConfigurationError)


@story
async def test_a_part_that_cannot_start_ends_it_by_its_own_error(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise ConfigurationError("the store is damaged")

    monkeypatch.setattr(life.serving.app.state.parts[-1], "start", broken)
    async with life.lived():
        error = await life.ended_by()
    assert isinstance(error, LLMOSError)
    assert "damaged" in str(error)


@story
async def test_nothing_tells_which_server_it_is_and_no_log_shows_a_key(life: Life, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with life.lived():
        reply = await life.client.get("/v1/models?key=secret-key")
    assert "server" not in reply.headers
    assert "secret-key" not in "".join(record.getMessage() for record in caplog.records if not record.name.startswith("http"))
