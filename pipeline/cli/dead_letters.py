"""`llmos dead-letters`: see what failed and publish it again."""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pipeline import exits
from pipeline.cli.common import ERR, OUT, AsJson, Bootstrap, Since, command, parse_since, plain, settings_of
from pipeline.dead_letter_box import Filed, read_dead_letters, replay, replayed_places
from pipeline.dead_letter_choice import Choice, Replayable
from schemas.codes import CODE_MEANINGS, Code
from schemas.errors import ConfigurationError

app = typer.Typer(help="See what failed, and publish it again.", no_args_is_help=True)

Which = Annotated[list[str] | None, typer.Argument(metavar="[PARTITION:OFFSET | JOB_ID]…", help="Which dead letters.")]
_REASONS_SHOWN = 20
OfCode = Annotated[Code | None, typer.Option("--code", help="Only this code.")]


@app.command("list")
@command
def list_(
    bootstrap: Bootstrap = None,
    code: OfCode = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters."""
    found = (
        filed for filed in read_dead_letters(settings_of(bootstrap), parse_since(since)) if code in (None, filed.letter.code)
    )
    chosen = list(islice(found, limit))
    if as_json:
        for filed in chosen:
            typer.echo(_dump(filed))
        return
    table = Table("place", "time", "code", "job", "reason")
    for filed in chosen:
        letter = filed.letter
        cells = filed.name, f"{letter.failed_at:%Y-%m-%d %H:%M:%S}", letter.code, letter.job_id or "-", letter.reason
        table.add_row(*(plain(cell) for cell in cells))
    OUT.print(table if chosen else "no dead letters")


@app.command()
@command
def show(which: Which, bootstrap: Bootstrap = None, as_json: AsJson = False) -> None:
    """Show dead letters whole, the original bytes included."""
    for filed in _choose(read_dead_letters(settings_of(bootstrap)), which or []):
        if as_json:
            typer.echo(_dump(filed))
            continue
        OUT.print(f"[bold]{filed.letter.code}[/]: {CODE_MEANINGS[filed.letter.code]}")
        OUT.print_json(filed.letter.model_dump_json())


@app.command("replay")
@command
def replay_(  # noqa: PLR0913, PLR0917 (one parameter an option)
    which: Which = None,
    bootstrap: Bootstrap = None,
    code: OfCode = None,
    since: Since = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only those that failed before; as --since.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only jobs of this tenant.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=JSON", help="Edit: give the job another value in FIELD.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Edit: publish the content of this file instead.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be published.")] = False,
) -> int:
    """Publish the original bytes again, edited if asked; a header marks each as a replay, and a note is kept.

    Example: llmos dead-letters replay --code unknown_tenant --set tenant='"default"'
    """
    choice = Choice(names=which or (), code=code, since=parse_since(since), until=parse_since(until, "--until"), tenant=tenant)
    if not (choice.chooses or everything):
        raise ConfigurationError("say which: PARTITION:OFFSET, a job id, --code, --since, --until, --tenant or --all")
    settings, edit = settings_of(bootstrap), _editor(set_, file)
    before = set() if again else replayed_places(settings, finish=not dry_run)
    letters = Replayable(found=read_dead_letters(settings, choice.since), choice=choice, before=before, edited=edit is not None)
    return _say_what_would_be(letters) if dry_run else _replay(letters, replay(settings, letters, edit))


def _say_what_would_be(letters: Replayable) -> int:
    for filed in letters:
        OUT.print(f"would replay {filed.name} {filed.letter.code} {plain(filed.letter.job_id or '-')}")
    return _outcome(letters)


def _replay(letters: Replayable, replayed: Iterable[Filed]) -> int:
    done = sum(1 for _ in replayed)
    ERR.print(f"{done} replayed, {letters.skipped} skipped because they were replayed before (--again)")
    return _outcome(letters)


def _outcome(letters: Replayable) -> int:
    for reason in letters.unreplayable[:_REASONS_SHOWN]:
        ERR.print(plain(reason))
    if letters.unreplayable:
        ERR.print(f"{len(letters.unreplayable)} cannot be replayed")
    if letters.choice.names and not letters.chosen:
        raise ConfigurationError(f"no dead letter is called {' or '.join(letters.choice.names)}")
    return exits.OK if letters.chosen and not letters.unreplayable else exits.INCOMPLETE


def _editor(changes: list[str] | None, file: Path | None) -> Callable[[bytes], bytes] | None:
    if file:
        content = file.read_bytes()
        return lambda _: content
    if not changes:
        return None
    try:
        pairs = {name: json.loads(value) for name, _, value in (change.partition("=") for change in changes)}
    except ValueError as error:
        raise ConfigurationError(f"--set takes FIELD=JSON, a text in quotes: {error}") from error

    def edit(original: bytes) -> bytes:
        try:
            return json.dumps({**json.loads(original), **pairs}, ensure_ascii=False).encode()
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"--set needs an original that is a JSON object: {error}") from error

    return edit


def _choose(found: Iterable[Filed], which: list[str]) -> list[Filed]:
    chosen = [filed for filed in found if filed.name in which or filed.letter.job_id in which]
    if not chosen:
        raise ConfigurationError(f"no dead letter is called {' or '.join(which)}")
    return chosen


def _dump(filed: Filed) -> str:
    return json.dumps({"place": filed.name, **filed.letter.model_dump(mode="json")}, ensure_ascii=False)
