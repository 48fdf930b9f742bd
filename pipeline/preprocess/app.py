"""The preprocess process: Faust brings records, the batcher moves them through the stage, the gate lets offsets go.

Faust is used in the one way that loses nothing: raw bytes, one actor, no automatic acknowledgement, in-order acknowledgement
after confirmed delivery (docs/decisions/0001-faust.md). Whatever goes wrong beyond a single message ends the process without
an acknowledgement; whoever supervises it starts it again, and the records come again.
"""

import asyncio
import logging
import os
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faust
import uvloop
from aiokafka.errors import KafkaError

from pipeline import metrics
from pipeline.log import configure_logging
from pipeline.preprocess.batcher import Batcher, Limits
from pipeline.preprocess.decode import JobRecord
from pipeline.preprocess.delivery import Deliverer
from pipeline.preprocess.gate import AckGate
from pipeline.preprocess.options import faust_options
from pipeline.preprocess.prepare import Rules
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.stage import Stage
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError

_LOG = logging.getLogger(__name__)


def run_preprocess(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT, drain, return 0; raises ConfigurationError or BundleError before it takes up anything.

    Any other trouble exits the process at once, nothing acknowledged: 75 where trying again may help, else 70.
    """
    configure_logging(settings, "preprocess")
    rules = load_rules(settings)
    metrics.serve_metrics(settings.metrics_port)
    with tempfile.TemporaryDirectory(prefix="llmos-faust-") as data_dir:
        app = PreprocessApp(settings, rules, data_dir)
        try:
            return _run_until_stopped(app)
        finally:
            app.announce(ready=False)


def _run_until_stopped(app: "PreprocessApp") -> int:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False, blocking_timeout=0)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else os.EX_SOFTWARE


class PreprocessApp(faust.App):
    """The Faust application, its one agent, and the parts behind it."""

    def __init__(self, settings: Settings, rules: Rules, data_dir: str) -> None:
        super().__init__(settings.preprocess_group, **faust_options(settings, data_dir))
        self._settings = settings
        self._topics_needed = _topics_needed(settings, rules)
        self._stage = Stage(settings, rules, lambda: time.time_ns() // 1_000_000)
        self._executor = ThreadPoolExecutor(1, "stage")
        self._deliverer = Deliverer(settings)
        self._batching: asyncio.Task[None] | None = None
        jobs = self.topic(settings.jobs_topic, key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw")
        self.agent(jobs, name="preprocess", concurrency=1)(self._take_up)
        self.on_partitions_assigned.connect(self._assigned)

    async def on_first_start(self) -> None:
        """Connect the producer and start the batcher before the first record comes."""
        try:
            await self._deliverer.start(self._topics_needed)
        except (TransientError, ConfigurationError) as error:
            self.die(error)
        self._gate = AckGate(lambda: self.consumer_generation_id)
        self._batcher = Batcher(
            self._stage.run,
            self._deliverer.deliver,
            self._gate,
            limits=_limits(self._settings),
            executor=self._executor,
            on_fatal=self.die,
        )
        self._batching = asyncio.get_running_loop().create_task(self._batcher.run())
        await super().on_first_start()

    async def _take_up(self, stream: Any) -> None:  # noqa: ANN401 (Faust types streams without noack)
        try:
            async for event in stream.noack().events():
                await self._batcher.put(self._gate.admit(event), _job_record(event.message))
        except Exception as error:  # noqa: BLE001 (Faust would restart the agent and skip the record)
            self.die(error)

    async def _assigned(self, _app: object, /, *assigned: Any, **_: object) -> None:  # noqa: ANN401 (Faust's signal is untyped)
        _LOG.info("assigned %d partitions of %s", len(assigned[0]), self._settings.jobs_topic)
        self.announce(ready=True)

    def announce(self, *, ready: bool) -> None:
        """Make or remove the ready file."""
        file = self._settings.ready_file
        if file is None:
            return
        if ready:
            file.touch()
        else:
            file.unlink(missing_ok=True)

    async def on_stop(self) -> None:
        """Drain: no more intake, what was taken up is delivered and committed, in `shutdown_grace_s` at most."""
        _LOG.info("stopping: finishing what was taken up")
        self.announce(ready=False)
        watchdog = threading.Timer(self._settings.shutdown_grace_s, self._give_up)
        watchdog.daemon = True
        watchdog.start()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """After the last commit."""
        await super().on_shutdown()
        if self._batching:
            self._batching.cancel()
        await self._deliverer.stop()
        self._executor.shutdown()
        _LOG.info("stopped")

    def _give_up(self) -> None:
        _LOG.error("not drained in %d s: exiting, the rest uncommitted", self._settings.shutdown_grace_s)
        self._exit(os.EX_TEMPFAIL)

    def die(self, error: BaseException) -> None:
        """Exit at once, nothing more acknowledged: going on would lose or repeat without end."""
        if isinstance(error, TransientError | KafkaError | OSError):
            _LOG.error("exiting, uncommitted work will come again: %s", error)
            self._exit(os.EX_TEMPFAIL)
        if isinstance(error, ConfigurationError):
            _LOG.error("%s", error)
            self._exit(os.EX_CONFIG)
        _LOG.critical("a bug: exiting, uncommitted work will come again", exc_info=error)
        self._exit(os.EX_SOFTWARE)

    def _exit(self, code: int) -> None:
        self.announce(ready=False)
        logging.shutdown()
        os._exit(code)


def _job_record(message: Any) -> JobRecord:  # noqa: ANN401 (Faust's messages are untyped)
    return JobRecord(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=int(message.timestamp * 1000),
        key=message.key,
        headers=_headers(message.headers),
        value=message.value,
    )


def _headers(headers: Any) -> tuple[tuple[str, bytes | None], ...]:  # noqa: ANN401
    if not headers:
        return ()
    return tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers)


def _topics_needed(settings: Settings, rules: Rules) -> list[str]:
    work = [served.work_topic for served in rules.models.values()]
    return [settings.jobs_topic, settings.dead_letters_topic, *work]


def _limits(settings: Settings) -> Limits:
    return Limits(
        batch_records=settings.preprocess_batch_records,
        batch_bytes=settings.preprocess_batch_bytes,
        in_flight_records=settings.preprocess_in_flight_records,
        in_flight_bytes=settings.preprocess_in_flight_bytes,
        linger_s=settings.preprocess_linger_ms / 1000,
    )
