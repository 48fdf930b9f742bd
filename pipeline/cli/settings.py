"""`llmos settings`: every setting, its value and where that comes from."""

import json
import os
import tomllib
from pathlib import Path

import typer
from pydantic import SecretStr
from rich.table import Table

from pipeline.cli.common import OUT, AsJson, command, plain
from pipeline.settings import Settings


@command
def settings(as_json: AsJson = False) -> None:
    """Show every setting, its value and where it comes from; secrets are masked."""
    found = Settings()
    rows = [
        {"setting": name, "value": _value(getattr(found, name)), "from": _origin(name, found), "meaning": field.description or ""}
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("setting", "value", "from", "meaning")
    for row in rows:
        table.add_row(
            f"LLMOS_{str(row['setting']).upper()}", plain(str(row["value"])), plain(str(row["from"])), plain(str(row["meaning"]))
        )
    OUT.print(table)


def _value(value: object) -> object:
    if isinstance(value, SecretStr):
        return "********"
    return str(value) if isinstance(value, Path) else value


def _origin(name: str, found: Settings) -> str:
    variable = f"LLMOS_{name.upper()}"
    if os.environ.get(variable):
        return f"environment {variable}"
    if name not in found.model_fields_set:
        return "default"
    toml = Path(os.environ.get("LLMOS_CONFIG_FILE", "llmos.toml"))
    dotenv = Path(".env")
    if dotenv.exists() and any(line.strip().upper().startswith(f"{variable}=") for line in dotenv.read_text().splitlines()):
        return str(dotenv)
    return str(toml) if toml.exists() and name in tomllib.loads(toml.read_text()) else ".env"
