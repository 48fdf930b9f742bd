"""`llmos policy`: check a policy before it is put in place, see what holds, and replay past results under another one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline import exits
from pipeline.cli.common import OUT, AsJson, command, plain, settings_of
from pipeline.cli.policy_replay import replay
from pipeline.policies import LoadedPolicy, load_policy
from pipeline.policy_check import models_of, oddities
from pipeline.text.phrases import LISTS
from schemas.errors import BundleError, ConfigurationError
from schemas.policies import Threshold

app = typer.Typer(help="Check a policy, see what holds, and replay past results under another one.", no_args_is_help=True)
app.command("replay")(replay)


@app.command()
@command
def check(files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Policy files.")]) -> int:
    """Read policy files as a stage would at its start, and say what is odd about them; exit code 3 where one is wrong."""
    return max(_check(file) for file in files)


@app.command()
@command
def show(
    tenant: Annotated[str, typer.Argument(help="The tenant.")],
    words: Annotated[bool, typer.Option("--words", help="Also the phrases of its word lists, with their numbers.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the policy of a tenant as it lies in the policies folder now."""
    loaded = load_policy(settings_of().policies_dir / f"{tenant}.toml")
    if as_json:
        typer.echo(json.dumps({"sha256": loaded.ref.sha256, **loaded.policy.model_dump(mode="json")}, ensure_ascii=False))
        return
    _print(loaded)
    for name, number, phrase in _phrases(loaded) if words else ():
        OUT.print(f"{name:6} {number:>6}  {plain(phrase)}")


def _check(file: Path) -> int:
    try:
        loaded = load_policy(file)
    except ConfigurationError as error:
        typer.echo(f"llmos: {error}", err=True)
        return exits.CONFIGURATION
    _print(loaded)
    settings = settings_of()
    try:
        models = models_of(settings, loaded.policy.name)
    except (ConfigurationError, BundleError) as error:
        typer.echo(f"labels are not compared with those of models: {error}", err=True)
        models = []
    for said in oddities(loaded, models):
        OUT.print(f"[yellow]odd[/]: {plain(said)}", soft_wrap=True)
    return exits.OK


def _print(loaded: LoadedPolicy) -> None:
    policy = loaded.policy
    OUT.print(f"[bold]{policy.name}[/] release {plain(policy.release)}, checksum {loaded.ref.sha256[:12]}…")
    languages = [f"in {plain(language)}: review / block" for language in policy.languages]
    table = Table("label", "review from", "block from", *languages)
    names = dict.fromkeys([*policy.labels, *(name for labels in policy.languages.values() for name in labels)])
    for name in names:
        others = [_both(labels.get(name)) for labels in policy.languages.values()]
        table.add_row(plain(name), *_cells(policy.labels.get(name, Threshold())), *others)
    OUT.print(table)
    OUT.print(f"unscored: {policy.unscored}, which is the verdict {policy.unscored_verdict}")
    if loaded.phrases:
        OUT.print("words: " + ", ".join(f"{len(loaded.phrases.lists[name]):,} to {name}" for name in LISTS))


def _cells(threshold: Threshold) -> Iterator[str]:
    return ("-" if score is None else f"{score:g}" for score in (threshold.review, threshold.block))


def _both(threshold: Threshold | None) -> str:
    return "as in general" if threshold is None else " / ".join(_cells(threshold))


def _phrases(loaded: LoadedPolicy) -> Iterator[tuple[str, int, str]]:
    if loaded.phrases:
        yield from ((name, number, phrase) for name in LISTS for number, phrase in loaded.phrases.lists[name])
