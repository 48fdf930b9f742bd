"""`llmos`: every command in one list."""

from importlib.metadata import version
from typing import Annotated

import typer

from pipeline.cli import (
    dead_letters,
    demo,
    gateway,
    health,
    keys,
    models,
    policy,
    publish,
    results,
    schemas,
    settings,
    stages,
    topics,
    up,
)

EPILOG = (
    "Exit codes: 0 done · 1 done, but some rows were refused or ended as dead letters; not healthy · 2 wrong usage · "
    "3 a setting or file cannot work · 4 a model bundle is damaged · 5 outcomes missing · "
    "65 most jobs fail, look first · 70 a bug · 75 Kafka is away, try again · 130 interrupted. "
    "Every setting is also an environment variable LLMOS_…, a line of .env or of llmos.toml; `llmos settings` shows them all."
)

app = typer.Typer(
    name="llmos",
    help="LLM OS: text jobs in, verdicts out, over Kafka; nothing lost.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("publish")(publish.publish)
app.command("results")(results.results)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(topics.app, name="topics")
app.command("preprocess")(stages.preprocess)
app.command("worker")(stages.worker)
app.command("gateway")(gateway.gateway)
app.command("health")(health.health)
app.command("canary")(health.canary)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(policy.app, name="policy")
app.add_typer(schemas.app, name="schemas")
app.command("settings")(settings.settings)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 (typer calls it so)
    if wanted:
        typer.echo(f"llmos {version('llmos')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Console entry point."""
    app()
