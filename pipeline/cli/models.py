"""`llmos models`: the bundles on this machine."""

import json

import typer
from rich.table import Table

from pipeline.bundles import Bundle, list_bundles, open_bundle, verify_bundle
from pipeline.cli.common import OUT, AsJson, command, settings_of

app = typer.Typer(help="The model bundles on this machine.", no_args_is_help=True)
_MIB = 1 << 20


@app.command("list")
@command
def list_(as_json: AsJson = False) -> None:
    """List the bundles of the models folder."""
    rows = [_row(bundle) for bundle in list_bundles(settings_of().models_dir)]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("name", "release", "task", "languages", "labels", "graphs", "MiB")
    for row in rows:
        table.add_row(*(", ".join(value) if isinstance(value, list) else str(value) for value in row.values()))
    OUT.print(table)


def _row(bundle: Bundle) -> dict[str, object]:
    spec = bundle.manifest
    size = sum(file.stat().st_size for file in bundle.folder.iterdir())
    return {
        "name": spec.name,
        "release": spec.release,
        "task": spec.task,
        "languages": list(spec.languages),
        "labels": [label.name for label in spec.labels],
        "graphs": [model.precision for model in spec.models],
        "mib": round(size / _MIB, 1),
    }


@app.command()
@command
def verify(name: str) -> None:
    """Check the manifest and every checksum of one bundle; exit code 4 where something is wrong."""
    bundle = open_bundle(settings_of().models_dir / name)
    verify_bundle(bundle)
    OUT.print(f"{name} {bundle.manifest.release}: all files are as promised")
