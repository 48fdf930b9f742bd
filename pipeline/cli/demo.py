"""`llmos demo`: the whole system once around, on the examples."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import command


@command
def demo(
    file: Annotated[Path, typer.Option(help="JSON lines of jobs; metadata.expected holds the expected verdict.")] = Path(
        "examples/comments.jsonl"
    ),
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the outcomes go.")] = Path("demo-output"),
) -> int:
    """Start everything on an embedded broker, moderate the example comments, print what came of it, stop everything.

    Exit code 0 only if every job came back.
    """
    from pipeline.demo import run_demo  # noqa: PLC0415 (quick help)

    return run_demo(file, output)
