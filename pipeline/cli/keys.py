"""`llmos keys`: who may call the gateway."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.table import Table

from pipeline.cli.common import ERR, OUT, AsJson, command, parse_until, plain, settings_of
from pipeline.gateway.key_file import ApiKey, create_key, keys_path, read_keys, revoke_key
from schemas.errors import ConfigurationError

app = typer.Typer(help="API keys of the gateway: make, list, revoke.", no_args_is_help=True)


@app.command()
@command
def create(
    tenant: Annotated[str, typer.Option(help="Whose policy decides, and whose jobs and files the key sees.")],
    name: Annotated[str, typer.Option(help="What you call it, such as who has it.")] = "",
    texts_per_minute: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Its limit; 0: none. By default LLMOS_HTTP_TEXTS_PER_MINUTE.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when it is valid: 90d, 12h, or a time such as 2027-01-01.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it: this once, for only its SHA-256 is kept.

    With the first key, the gateway begins to ask for keys.

    Example: llmos keys create --tenant default --name website --expires 90d
    """
    settings = settings_of()
    file = keys_path(settings)
    until = parse_until(expires, "--expires")
    if until is not None and until <= datetime.now(UTC):
        raise ConfigurationError(f"--expires {expires}: that is over")
    try:
        made, key = create_key(file, tenant, name=name, texts_per_minute=texts_per_minute, expires_at=until)
    except ValidationError as error:
        raise ConfigurationError(f"--tenant or --name: {error.errors()[0]['msg']}") from error
    if as_json:
        typer.echo(json.dumps({**_row(made), "key": key}))
        return
    typer.echo(key)
    ERR.print(f"{made.key_id} for tenant {tenant}, in {file}. The key above is not shown again.", markup=False)
    if not (settings.policies_dir / f"{tenant}.toml").exists():
        ERR.print(
            f"tenant {tenant} has no policy in {settings.policies_dir}: until it has one, its jobs are refused", markup=False
        )


@app.command("list")
@command
def list_(as_json: AsJson = False) -> None:
    """List all keys, those too that are no longer valid; never the keys themselves."""
    rows = [_row(key) for key in read_keys(keys_path(settings_of())).keys]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("id", "ends in", "tenant", "name", "texts a minute", "created", "expires", "state")
    for row in rows:
        table.add_row(*(plain("" if value is None else str(value)) for value in row.values()))
    OUT.print(table)


@app.command()
@command
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As `llmos keys list` shows it: key_…")]) -> None:
    """Make a key invalid, for good: every gateway that reads this file refuses it within a second."""
    key = revoke_key(keys_path(settings_of()), key_id)
    ERR.print(f"{key.key_id} of tenant {key.tenant} is revoked", markup=False)


def _row(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.key_id,
        "hint": key.hint,
        "tenant": key.tenant,
        "name": key.name,
        "texts_per_minute": key.texts_per_minute,
        "created_at": _time(key.created_at),
        "expires_at": _time(key.expires_at),
        "state": key.state(datetime.now(UTC)),
    }


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
