"""The own API as a part of the gateway: its routes, its store, and what it does beside answering requests."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from fastapi import APIRouter

from pipeline.gateway.contract import Context, GatewayError, Outcome, Part, Sink
from pipeline.gateway.jobs import health
from pipeline.gateway.jobs.catalogue import CatalogueRoutes
from pipeline.gateway.jobs.hub import Hub
from pipeline.gateway.jobs.routes import JobRoutes
from pipeline.gateway.jobs.store import JobStore
from pipeline.gateway.jobs.submissions import Submissions

PURGE_S: Final = 60.0
"""How often old outcomes are forgotten."""
_HOUR_MS: Final = 3_600_000

_log = logging.getLogger(__name__)


def jobs_part(context: Context) -> Part:
    """Jobs, models, policies and health; keeps its jobs in the context's folder."""
    return _Jobs(context)


class _Jobs:
    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._store = JobStore(context.folder, settings.gateway_batch_in_flight_jobs)
        self._keep_ms = settings.gateway_keep_hours * _HOUR_MS
        self._jobs_max = settings.gateway_jobs_max
        self._hub = Hub()
        self._submissions = Submissions(context.desk, self._store)
        self._tasks: list[asyncio.Task[None]] = []
        self.sinks: Sequence[Sink] = (_Outcomes(self._store, self._hub),)
        self.router = APIRouter()
        for routes in (JobRoutes(context, self._store, self._submissions, self._hub), CatalogueRoutes(context), health):
            self.router.include_router(routes.router)

    async def start(self) -> None:
        await self._store.open()
        self._hub.start()
        self._tasks = [asyncio.create_task(work) for work in (self._submissions.resume(), self._purge())]

    async def stop(self) -> None:
        self._hub.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._submissions.stop()
        await asyncio.to_thread(self._store.close)

    async def _purge(self) -> None:
        while True:
            with suppress(GatewayError):  # the disk is in trouble, which is logged where that is found out
                await self._store.purge(self._keep_ms, self._jobs_max)
            await asyncio.sleep(PURGE_S)


class _Outcomes:
    """The sink: keeps the outcomes of jobs that came here, and tells who listens."""

    def __init__(self, store: JobStore, hub: Hub) -> None:
        self._store = store
        self._hub = hub

    def take(self, outcomes: Sequence[Outcome]) -> None:
        self._hub.announce_soon(self._store.take(outcomes))

    def waiting(self) -> Sequence[str]:
        return self._store.waiting()
