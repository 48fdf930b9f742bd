"""The gateway process: puts its parts together, serves HTTP until it is told to stop, and drains.

It runs no model: every text goes out as a job on Kafka, and every outcome comes back from there.
"""

import asyncio
import logging
import os
import signal
import socket
import sqlite3
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvicorn
import uvloop
from fastapi import FastAPI

from pipeline.backlog import Backlog
from pipeline.bundles import open_bundle
from pipeline.gateway.app import build_app
from pipeline.gateway.contract import Context, GatewayError
from pipeline.gateway.desk import KafkaDesk
from pipeline.gateway.key_file import keys_path
from pipeline.gateway.keys import KeyGate
from pipeline.gateway.place import kafka_is_ready, listening, own_folder, url_of
from pipeline.gateway.progress import ReplyProgress
from pipeline.gauges import LagWatch
from pipeline.health import serving_health
from pipeline.log import configure_logging
from pipeline.policy_book import PolicyBook
from pipeline.prober import probing
from pipeline.ready import Readiness
from pipeline.routing import load_routes
from pipeline.settings import Settings
from pipeline.tracing import start_tracing
from pipeline.watchdog import Watchdog
from schemas.bundles import BundleManifest
from schemas.errors import TransientError

if TYPE_CHECKING:
    from pipeline.spans import Tracing

_LOG = logging.getLogger(__name__)
CONNECTIONS_MAX: Final = 900
"""Open connections, idle ones included: with files and Kafka still below the 1,024 descriptors that processes commonly get."""
KEEP_ALIVE_S: Final = 75
"""How long an idle connection is kept: longer than clients keep theirs, or one would send into a connection that just closes."""
STOP_S: Final = 4
"""Of the grace period, for what stops after the last request."""

ENDED_GRACE_S: Final = 2
"""The grace period where no outcome can come any more: enough to tell that to everybody."""


def run_gateway(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and return.

    Raises ConfigurationError or BundleError before it serves, TransientError where Kafka is away for too long; a right that is
    taken away, and any error of a part that keeps outcomes, end it as well.
    """
    configure_logging(settings, "gateway")
    readiness = Readiness(settings)
    readiness.announce(up=False)  # a killed process leaves its file behind
    with ExitStack() as stack:
        stack.enter_context(serving_health(settings, readiness))
        stack.enter_context(probing(settings, readiness))
        folder = stack.enter_context(own_folder(settings))
        gate = KeyGate(keys_path(settings), texts_per_minute=settings.http_texts_per_minute)
        gate.open()
        listener = stack.enter_context(listening(settings, keys=gate.required))
        policies, models = PolicyBook(settings.policies_dir), _models(settings)
        kafka_is_ready(settings)
        tracing = start_tracing(settings, "gateway")
        serving = Serving(settings, folder, readiness, tracing)
        serving.app = build_app(Context(settings, serving.desk, gate, folder, policies.refresh, models, tracing))
        serving.app.state.canary_troubles = readiness.canary_troubles
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serving.run(listener))


def _models(settings: Settings) -> list[BundleManifest]:
    names = sorted(load_routes(settings.routes_file).models)
    return [open_bundle(settings.models_dir / name).manifest for name in names]


class Serving:
    """One life of the gateway: the desk, the app and the server around it."""

    app: FastAPI

    def __init__(self, settings: Settings, folder: Path, readiness: Readiness, tracing: "Tracing | None" = None) -> None:
        self._settings = settings
        self._readiness = readiness
        self._error: Exception | None = None
        self._server: Server | None = None
        self._grace: threading.Timer | None = None
        self.desk = KafkaDesk(settings, folder, self._ended, tracing)

    async def run(self, listener: socket.socket) -> None:
        """Serve on `listener`; returns when everything is drained, raises what ended it."""
        self._server = Server(_config(self.app, self._settings), self.app.state.draining)
        self._stop_on_signals(asyncio.get_running_loop())
        progress = ReplyProgress(self._settings, self.desk.replies)
        lag = LagWatch("gateway", Backlog(self._settings), progress.positions)
        watchdog = Watchdog(
            progress,
            self._readiness.end_stuck,
            stuck_after_s=self._settings.stuck_after_s,
        )
        try:
            await self.desk.start([sink for part in self.app.state.parts for sink in part.sinks])
            watchdog.start()
            lag.start(self._settings.metrics_port)
            async with self.app.router.lifespan_context(self.app):
                _LOG.info("listening at %s", url_of(listener))
                self._readiness.announce(up=True)
                try:
                    await self._server.serve(sockets=[listener])
                finally:
                    await self.desk.stop()  # before the parts, which would refuse outcomes once they have stopped
        finally:
            watchdog.stop()
            lag.stop()
            self._readiness.announce(up=False)
            await self.desk.stop()
            if self._grace:
                self._grace.cancel()
        if self._error:
            raise _named(self._error) from self._error
        _LOG.info("drained")

    def _ended(self, error: Exception) -> None:
        _LOG.critical("the gateway cannot go on: %s", error)
        self._error = error
        if self._server:
            self._server.config.timeout_graceful_shutdown = ENDED_GRACE_S
        self._stop()

    def _stop_on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)

    def _stop(self) -> None:
        if self._grace:
            return
        _LOG.info("stopping: finishing what was taken up")
        self._readiness.announce(up=False)
        self._grace = threading.Timer(self._settings.shutdown_grace_s, self._give_up)
        self._grace.daemon = True
        self._grace.start()
        if self._server:
            self._server.should_exit = True

    def _give_up(self) -> None:
        self._readiness.give_up()
        _LOG.error("not drained in %d s: exiting", self._settings.shutdown_grace_s)
        logging.shutdown()
        os._exit(os.EX_TEMPFAIL)


def _named(error: Exception) -> Exception:
    """A disk that does not play along is the moment's fault, whichever library says so."""
    trouble = isinstance(error, GatewayError | OSError | sqlite3.Error)
    return TransientError(f"outcomes cannot be kept: {error}") if trouble else error


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",  # the context around the server: what goes wrong at the start then ends the process by its own name
        ws="none",
        log_config=None,
        log_level=logging.WARNING,
        access_log=False,  # API keys stand in query strings
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, settings.shutdown_grace_s - STOP_S),
    )


class Server(uvicorn.Server):
    """uvicorn's, which leaves signals to us: it would raise them again once it has drained, and die of them."""

    def __init__(self, config: uvicorn.Config, draining: asyncio.Event) -> None:
        super().__init__(config)
        self._draining = draining

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """None."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell streams, which have no end of their own, to come to one; then drain."""
        self._draining.set()
        await super().shutdown(sockets)
