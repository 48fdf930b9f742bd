"""The preprocess app without a broker, as far as it goes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.preprocess.app import PreprocessApp
from pipeline.preprocess.rules import load_rules
from pipeline.ready import Readiness
from pipeline.settings import Settings


@contextmanager
def preprocess_app(settings: Settings, data_dir: Path) -> Iterator[PreprocessApp]:
    """The app as a process makes it. It holds on to the event loop that is set when it is made: one of its own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        nowhere = settings.model_copy(update={"kafka_bootstrap": "127.0.0.1:9"})
        yield PreprocessApp(nowhere, load_rules(nowhere), str(data_dir), Readiness(nowhere))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
