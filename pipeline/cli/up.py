"""`llmos up`: the whole system on this machine."""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from pipeline.cli.common import OUT, Bootstrap, command, say, settings_of
from pipeline.system import running
from schemas.errors import FatalError, TransientError

_WATCH_S = 0.2


@command
def up(
    workers: Annotated[int, typer.Option(min=0, help="Worker processes.")] = 1,
    preprocess: Annotated[int, typer.Option(min=0, help="Preprocess apps.")] = 1,
    bootstrap: Bootstrap = None,
    kafka_port: Annotated[int, typer.Option(help="Port of the embedded broker; 0: a free one.")] = 0,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where logs and the broker's address go (LLMOS_STATE_DIR).")
    ] = None,
) -> None:
    """Run everything: an embedded broker (unless --bootstrap names yours), preprocess apps and workers.

    Ctrl-C drains and stops. A process that dies is started again. The embedded broker keeps everything in memory.
    """
    settings = settings_of(bootstrap, state_dir=state)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    try:
        with running(settings, preprocess=preprocess, workers=workers, kafka_port=kafka_port, say=say) as system:
            OUT.print(f"ready in {time.monotonic() - started:.1f} s")
            OUT.print(f"  Kafka    {system.settings.kafka_bootstrap}")
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
