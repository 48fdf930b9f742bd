"""`llmos up`: the whole system on this machine."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pipeline.cli.common import OUT, Bootstrap, command, say, settings_of
from pipeline.cli.gateway import HttpPort
from pipeline.system import http_port_of, running
from schemas.errors import FatalError, TransientError

_WATCH_S = 0.2


@command
def up(
    workers: Annotated[int, typer.Option(min=0, help="Worker processes.")] = 1,
    preprocess: Annotated[int, typer.Option(min=0, help="Preprocess apps.")] = 1,
    bootstrap: Bootstrap = None,
    kafka_port: Annotated[int, typer.Option(help="Port of the embedded broker; 0: a free one.")] = 0,
    http_port: HttpPort = None,
    gateway: Annotated[bool, typer.Option("--gateway/--no-gateway", help="With or without the HTTP gateway.")] = True,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where logs and the broker's address go (LLMOS_STATE_DIR).")
    ] = None,
) -> None:
    """Run everything: an embedded broker (unless --bootstrap names yours), preprocess apps, workers and the HTTP gateway.

    Ctrl-C drains and stops. A process that dies is started again. The embedded broker keeps everything in memory.
    Where port 8080 is taken and --http-port names no other, the gateway gets a free one.
    """
    settings = settings_of(bootstrap, state_dir=state)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        port = http_port_of(settings, http_port) if gateway else None
        with running(settings, preprocess=preprocess, workers=workers, kafka_port=kafka_port, http_port=port, say=say) as system:
            OUT.print(f"ready in {time.monotonic() - started:.1f} s")
            OUT.print(f"  Kafka    {system.settings.kafka_bootstrap}")
            if system.gateway_url:
                OUT.print(f"  HTTP     {system.gateway_url}   e.g. POST /v1/moderations")
            OUT.print(f"  publish  {system.settings.jobs_topic}   e.g. llmos publish examples/comments.jsonl --wait")
            OUT.print(f"  read     {system.settings.results_topic}   e.g. llmos results --follow")
            OUT.print(f"  logs     {settings.state_dir / 'logs'}")
            OUT.print("Ctrl-C drains and stops.")
            while True:
                system.supervisor.watch()
                if system.broker and not system.broker.alive():
                    raise TransientError("the embedded broker died, and with it what it held in memory")
                time.sleep(_WATCH_S)
    except KeyboardInterrupt:
        OUT.print("stopped")
    except FatalError as error:
        OUT.print("giving up:", style="red")
        say(str(error))
        raise


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
