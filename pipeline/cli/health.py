"""`llmos health` and `llmos canary`: whether a process is ready, and whether the queue gives right answers."""

import json
import sys
from dataclasses import asdict
from http.client import HTTPConnection, HTTPException
from typing import Annotated, Final

import typer

from pipeline import exits
from pipeline.cli.common import ERR, AsJson, Bootstrap, command, say, settings_of
from schemas.errors import ConfigurationError

TIMEOUT_S: Final = 5
"""For the answer of a process on this machine."""
_ANYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (whoever listens anywhere is here too)


@command
def health(
    live: Annotated[bool, typer.Option("--live", help="Ask /livez instead of /readyz.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65_535, metavar="N", help="Where the process serves them (LLMOS_METRICS_PORT).")
    ] = None,
) -> int:
    """Ask a process on this machine whether it is ready; exit code 1 where it is not, or does not answer.

    For containers, whose images hold no curl.
    """
    settings = settings_of(metrics_port=port)
    if not settings.metrics_port:
        raise ConfigurationError("which process? Name its port by --port or LLMOS_METRICS_PORT")
    host = _ANYWHERE.get(settings.metrics_host, settings.metrics_host)
    status, body = _get(host, settings.metrics_port, "/livez" if live else "/readyz")
    (say if status == exits.OK else ERR.print)(body)
    return status


def run_health() -> None:
    """`llmos health` alone, as containers run it every few seconds: the imports of all commands take twice as long."""
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    alone.command("health")(health)
    alone(sys.argv[2:], prog_name="llmos health")


def _get(host: str, port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        return exits.INCOMPLETE, f"no answer from {host} port {port}: {error or repr(error)}"
    finally:
        connection.close()
    return exits.OK if response.status == 200 else exits.INCOMPLETE, body  # noqa: PLR2004


@command
def canary(
    bootstrap: Bootstrap = None,
    within: Annotated[
        int | None, typer.Option(min=1, max=600, metavar="SECONDS", help="How long both may take (LLMOS_CANARY_WITHIN_S).")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Send a known-bad and a known-good text through the queue, and say what came back and how fast.

    Exit code 1 where an answer is wrong, 5 where none came in time.
    """
    from pipeline.prober import Canaries  # noqa: PLC0415 (the Kafka client, and `llmos health` must start fast)

    with Canaries(settings_of(bootstrap, canary_within_s=within)) as canaries:
        answers = canaries.ask()
    for answer in answers:
        if not as_json:
            say(answer.trouble or f"known-{answer.kind}: {answer.said} after {answer.seconds * 1000:.0f} ms")
    if as_json:
        typer.echo(json.dumps([asdict(answer) | {"right": answer.right} for answer in answers]))
    if any(answer.said is None for answer in answers):
        return exits.TIMEOUT
    return exits.OK if all(answer.right for answer in answers) else exits.INCOMPLETE
