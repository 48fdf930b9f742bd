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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import faust
import uvloop
from aiokafka.errors import KafkaError

from pipeline import exits
from pipeline.admission import admit
from pipeline.backlog import Backlog
from pipeline.clock import now_ms
from pipeline.garbage import collect_seldom
from pipeline.gauges import LagWatch, show_in_hand
from pipeline.health import serving_health
from pipeline.kafka import fetch_wait_ms, is_embedded
from pipeline.log import configure_logging
from pipeline.preprocess.batcher import Batcher, Limits
from pipeline.preprocess.decode import JobRecord
from pipeline.preprocess.delivery import Deliverer
from pipeline.preprocess.gate import AckGate
from pipeline.preprocess.options import faust_options
from pipeline.preprocess.prepare import Rules
from pipeline.preprocess.progress import FaustProgress
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.stage import Stage
from pipeline.preprocess.succession import FaustSuccession
from pipeline.preprocess.traced import traced
from pipeline.preprocess.transport import Transport
from pipeline.prober import probing
from pipeline.ready import Readiness
from pipeline.refusal import failure
from pipeline.settings import Settings
from pipeline.stacks import stacks
from pipeline.succession import Succession, first_at
from pipeline.tracing import start_tracing
from pipeline.watchdog import Watchdog
from schemas.errors import ConfigurationError, DeadLetterLimitError, TransientError

_LOG = logging.getLogger(__name__)


def run_preprocess(settings: Settings) -> int:
    """Work until SIGTERM or SIGINT, drain, return 0; raises ConfigurationError or BundleError before it takes up anything.

    Any other trouble exits the process at once, nothing acknowledged: 75 where trying again may help, 3 where a setting cannot
    work, such as a topic that does not exist, else 70.
    """
    configure_logging(settings, "preprocess")
    readiness = Readiness(settings)
    readiness.announce(up=False)  # a killed process leaves its file behind
    with (
        serving_health(settings, readiness),
        probing(settings, readiness),
        tempfile.TemporaryDirectory(prefix="llmos-faust-") as data_dir,
    ):
        rules = load_rules(settings)
        _admit(settings, rules)
        app = PreprocessApp(settings, rules, data_dir, readiness)
        collect_seldom()
        try:
            return _run_until_stopped(app)
        finally:
            readiness.announce(up=False)


def _run_until_stopped(app: "PreprocessApp") -> int:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False, blocking_timeout=0)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        if worker.crash_reason is not None:
            app.die(worker.crash_reason)
        return stop.code if isinstance(stop.code, int) else os.EX_SOFTWARE


class PreprocessApp(faust.App):
    """The Faust application, its one agent, and the parts behind it."""

    def __init__(self, settings: Settings, rules: Rules, data_dir: str, readiness: Readiness) -> None:
        super().__init__(settings.preprocess_group, **faust_options(settings, data_dir))
        self.fetch_wait_ms = fetch_wait_ms(settings)
        self.leaves_groups = not is_embedded(settings)
        self._settings = settings
        self._readiness = readiness
        self._topics_needed = _topics_needed(settings, rules)
        self._run = traced(Stage(settings, rules, now_ms).run, settings, start_tracing(settings, "preprocess"))
        self._executor = ThreadPoolExecutor(1, "stage")
        self._deliverer = Deliverer(settings)
        self._batching: asyncio.Task[None] | None = None
        self._watchdog: Watchdog | None = None
        self._lag: LagWatch | None = None
        jobs = self.topic(settings.jobs_topic, key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw")
        self.agent(jobs, name="preprocess", concurrency=1)(self._take_up)
        self.on_partitions_assigned.connect(self._assigned)

    def _new_transport(self) -> Transport:
        return Transport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Connect the producer and start the batcher before the first record comes."""
        try:
            await self._deliverer.start(self._topics_needed)
        except (TransientError, ConfigurationError) as error:
            self.die(error)
        self._gate = AckGate(lambda: self.consumer_generation_id)
        self._progress = FaustProgress(self, self._gate, Backlog(self._settings, self._settings.preprocess_group))
        self.sensors.add(self._progress)
        self._succession = self._following()
        self._watchdog = Watchdog(self._progress, self._stuck, stuck_after_s=self._settings.stuck_after_s)
        self._watchdog.start()
        self._lag = self._lag_watch()
        self._lag.start(self._settings.metrics_port)
        self._batcher = Batcher(
            self._run,
            self._deliverer.deliver,
            self._gate,
            limits=_limits(self._settings),
            executor=self._executor,
            on_fatal=self.die,
        )
        show_in_hand("preprocess", self._batcher.in_hand, self._batcher.oldest_ms)
        self._batching = asyncio.get_running_loop().create_task(self._batcher.run())
        await super().on_first_start()

    def _following(self) -> FaustSuccession:
        settings = self._settings
        return FaustSuccession(
            lambda: self.consumer_generation_id,
            Backlog(settings, settings.preprocess_group).waiting,
            Succession(partial(first_at, settings)),
            executor=self._executor,
            patience_s=settings.kafka_delivery_timeout_ms / 1000,
        )

    def _lag_watch(self) -> LagWatch:
        backlog = Backlog(self._settings, self._settings.preprocess_group)
        return LagWatch("preprocess", backlog, lambda: dict.fromkeys(self._progress.partitions))

    async def _take_up(self, stream: Any) -> None:  # noqa: ANN401 (Faust types streams without noack)
        try:
            async for event in stream.noack().events():
                await self._succession.follow(event.message)
                await self._progress.committing()
                await self._batcher.put(self._gate.admit(event), _job_record(event.message))
        except Exception as error:  # noqa: BLE001 (Faust would restart the agent and skip the record)
            self.die(error)

    async def _assigned(self, _app: object, /, *assigned: Any, **_: object) -> None:  # noqa: ANN401 (Faust's signal is untyped)
        _LOG.info("assigned %d partitions of %s", len(assigned[0]), self._settings.jobs_topic)
        self._progress.assigned(assigned[0])
        self._readiness.announce(up=True)

    async def _consumer_wait_empty(self, consumer: Any, logger: Any) -> None:  # noqa: ANN401, ARG002 (Faust's signature)
        """Finish what was taken up and commit it: Faust calls this before its partitions are given up, and at the end.

        In place of Faust's own, which has no end, waits also for what was thrown away, and commits only what was acknowledged
        since the revoke: all that it had not committed before, it has forgotten by now.
        """
        within_s = self._settings.shutdown_grace_s if self.should_stop else self._settings.kafka_session_timeout_ms / 1000
        with suppress(TimeoutError):  # then the partitions are not ours any more, or the grace period is over
            async with asyncio.timeout(within_s):
                await self._batcher.drain()
                if ends := self._gate.ends(consumer.assignment()):
                    await consumer._commit(ends)  # noqa: SLF001 (the public one knows only what Faust remembers)

    async def on_stop(self) -> None:
        """Drain: no more intake, what was taken up is delivered and committed, in `shutdown_grace_s` at most; crashed: exit."""
        if self.crash_reason is not None:
            self.die(self.crash_reason)
        _LOG.info("stopping: finishing what was taken up")
        self._readiness.announce(up=False)
        if self._watchdog:
            self._watchdog.stop()
        if self._lag:
            self._lag.stop()
        grace = threading.Timer(self._settings.shutdown_grace_s, self._give_up)
        grace.daemon = True
        grace.start()
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

    def _stuck(self, sentence: str) -> None:
        try:
            _LOG.critical("%s\n%s", sentence, stacks(self._progress.loops()))
        finally:
            self.die(TransientError(sentence))

    def die(self, error: BaseException) -> None:
        """Exit at once, nothing more acknowledged: going on would lose or repeat without end."""
        if isinstance(error, KafkaError | OSError):
            error = failure("Kafka", error)
        if isinstance(error, TransientError):
            _LOG.error("exiting, uncommitted work will come again: %s", error)
            self._exit(os.EX_TEMPFAIL)
        if isinstance(error, ConfigurationError | DeadLetterLimitError):
            _LOG.error("%s", error)
            self._exit(exits.CONFIGURATION if isinstance(error, ConfigurationError) else exits.DEAD_LETTERS)
        _LOG.critical("a bug: exiting, uncommitted work will come again", exc_info=error)
        self._exit(os.EX_SOFTWARE)

    def _exit(self, code: int) -> None:
        self._readiness.give_up()
        logging.shutdown()
        os._exit(code)


def _job_record(message: Any) -> JobRecord:  # noqa: ANN401 (Faust's messages are untyped)
    return JobRecord(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round(message.timestamp * 1000),
        key=message.key,
        headers=_headers(message.headers),
        value=message.value,
    )


def _headers(headers: Any) -> tuple[tuple[str, bytes | None], ...]:  # noqa: ANN401
    if not headers:
        return ()
    return tuple(headers.items()) if isinstance(headers, Mapping) else tuple(headers)


def _admit(settings: Settings, rules: Rules) -> None:
    """Faust waits for ever, and says nothing, where its group is refused: so we ask before it does."""
    jobs, *outputs = _topics_needed(settings, rules)
    admit(settings, reads=[jobs], writes=outputs, group=settings.preprocess_group)


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
