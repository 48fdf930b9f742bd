"""The part of the gateway that speaks OpenAI: wired here, and nowhere else."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from fastapi import APIRouter

from pipeline.gateway.contract import Context, Sink, Unavailable
from pipeline.gateway.database import Database
from pipeline.gateway.openai.batch_store import BatchStore
from pipeline.gateway.openai.batches import batches_router
from pipeline.gateway.openai.file_store import FileStore
from pipeline.gateway.openai.files import files_router
from pipeline.gateway.openai.moderations import moderations_router, rules_of
from pipeline.gateway.openai.runner import Runner
from pipeline.gateway.openai.sink import BatchSink
from pipeline.gateway.openai.tables import FILE, SCHEMA
from pipeline.gateway.openai.text_store import TextStore
from pipeline.gateway.openai.validation import Stores

FOLDER: Final = "openai"
"""Below the gateway's own: the database, and a folder of files."""
_SWEEP_S: Final = 60

_log = logging.getLogger(__name__)


class OpenAIPart:
    """See `Part`. Between `stop` and the next `start` nothing is worked on, and nothing is lost."""

    def __init__(self, context: Context, clock: Callable[[], float] = time.time) -> None:
        folder = context.folder / FOLDER
        folder.mkdir(exist_ok=True)
        settings = context.settings
        self._database = Database(folder / FILE, SCHEMA)
        texts = TextStore(self._database)
        self._stores = Stores(
            batches=BatchStore(self._database, texts, clock),
            texts=texts,
            files=FileStore(self._database, folder / "files", settings.gateway_files_bytes_max, clock),
            rules=rules_of(context),
            line_bytes_max=settings.http_body_bytes_max,
        )
        self._runner = Runner(self._stores, context.desk, slice_jobs=settings.gateway_batch_in_flight_jobs, clock=clock)
        self._sweeper: asyncio.Task[None] | None = None
        self.sinks: Sequence[Sink] = (BatchSink(texts, self._runner.wake),)
        self.router = APIRouter()
        self.router.include_router(moderations_router(context))
        self.router.include_router(files_router(context, self._stores.files))
        self.router.include_router(batches_router(context, self._stores.batches, self._runner))

    async def start(self) -> None:
        """Take up the batches that a restart has interrupted."""
        await asyncio.to_thread(self._stores.files.recover)
        await self._runner.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """Let go of them again."""
        if self._sweeper:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        await self._runner.stop()
        await asyncio.to_thread(self._database.close)

    async def _sweep(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._stores.files.sweep)
                await asyncio.to_thread(self._stores.batches.sweep)
            except (OSError, Unavailable):  # a full disk, most likely: the next round may find it otherwise
                _log.exception("files could not be swept")
            await asyncio.sleep(_SWEEP_S)


def openai_part(context: Context, clock: Callable[[], float] = time.time) -> OpenAIPart:
    """OpenAI's API over the gateway's desk; `clock` tells Unix seconds."""
    return OpenAIPart(context, clock)
