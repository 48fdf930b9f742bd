"""`llmos schemas`: the contracts as documents."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import OUT, command
from schemas.export import export_schemas

app = typer.Typer(help="The contracts as documents.", no_args_is_help=True)


@app.command()
@command
def export(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; made where it is missing.")]) -> None:
    """Write a JSON Schema of every message and an AsyncAPI 3.0 document."""
    for path in export_schemas(folder):
        OUT.print(str(path))
