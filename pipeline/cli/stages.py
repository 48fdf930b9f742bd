"""`llmos preprocess` and `llmos worker`: one stage each, as compose and Kubernetes run them."""

import os
import sys
from typing import Annotated

import typer

from pipeline.cli.common import Bootstrap, command, settings_of

Instance = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="A stable, unique name (LLMOS_INSTANCE_ID): a restart under it moves no partitions."),
]


@command
def preprocess(bootstrap: Bootstrap = None, instance_id: Instance = None) -> int:
    """Run one preprocess app until SIGTERM or Ctrl-C, then drain.

    Validates, normalises, routes and tokenises jobs. Run as many as there are partitions, at most.
    """
    from pipeline.preprocess.app import run_preprocess  # noqa: PLC0415 (Faust is heavy, and no other command needs it)

    return run_preprocess(settings_of(bootstrap, instance_id=instance_id))


@command
def worker(
    bootstrap: Bootstrap = None,
    instance_id: Instance = None,
    model: Annotated[str | None, typer.Option(help="The bundle to serve (LLMOS_WORKER_MODEL).")] = None,
    provider: Annotated[str | None, typer.Option(help="auto, cpu or cuda (LLMOS_WORKER_PROVIDER).")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of the model; 0: one a core (LLMOS_WORKER_THREADS).")] = None,
) -> None:
    """Run one worker until SIGTERM or Ctrl-C, then drain.

    Scores work batches with one model and writes results. It is ready once its canary texts got their verdicts.
    """
    given = {
        "KAFKA_BOOTSTRAP": bootstrap,
        "INSTANCE_ID": instance_id,
        "WORKER_MODEL": model,
        "WORKER_PROVIDER": provider,
        "WORKER_THREADS": threads,
    }
    os.environ.update({f"LLMOS_{name}": str(value) for name, value in given.items() if value is not None})
    os.execv(sys.executable, [sys.executable, "-m", "workers"])  # noqa: S606 (its own package: imports go one way)
