"""`llmos publish`: a file of texts to jobs, and with --wait to outcomes."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipeline import exits
from pipeline.cli.common import ERR, Bootstrap, command, settings_of
from pipeline.outcomes import Outcomes
from pipeline.publish import Delivery, JobPublisher
from pipeline.rows import Columns, Format, Refused, Row, read_rows
from pipeline.settings import Settings
from pipeline.tracing import start_tracing
from schemas.errors import ConfigurationError
from schemas.jobs import TextJob

REFUSED_SHOWN = 20
_SUFFIXES: dict[str, Format] = {".csv": "csv", ".txt": "text"}


@dataclass(slots=True)
class Count:
    """How it went so far."""

    accepted: int = 0
    refused: int = 0
    lost: int = 0
    shown: list[str] = field(default_factory=list)


@command
def publish(  # noqa: PLR0913, PLR0917 (options of a command line)
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The file, or - for standard input.")],
    bootstrap: Bootstrap = None,
    task: Annotated[str, typer.Option(help="Task of rows that name none.")] = "moderation",
    tenant: Annotated[str, typer.Option(help="Tenant of rows that name none.")] = "default",
    format_: Annotated[
        Literal["jsonl", "csv", "text"] | None,
        typer.Option("--format", help="By default the file name decides: .csv, .txt, else jsonl."),
    ] = None,
    text_column: Annotated[str, typer.Option(help="The field or column that holds the text.")] = "text",
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the outcome of every row and write one JSON line for each.")
    ] = False,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where --wait writes; by default standard output.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that is refused.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds without any outcome after which --wait gives up.")] = 120,
) -> int:
    """Publish every row of FILE as a job; any size, bounded memory, every delivery checked.

    A refused row is reported with its line number, and published as it is, so that it also ends in the dead letters.

    Example: llmos publish comments.csv --text-column body --wait --output verdicts.jsonl
    """
    settings = settings_of(bootstrap)
    columns = Columns(text_column, {"task": task, "tenant": tenant})
    with ExitStack() as stack:
        source = stack.enter_context(_open(file))
        rows = read_rows(source, format_ or _SUFFIXES.get(Path(file).suffix, "jsonl"), columns, settings.record_bytes_max // 2)
        target = stack.enter_context(output.open("wb")) if output else sys.stdout.buffer
        progress = stack.enter_context(_progress())
        outcomes = stack.enter_context(Outcomes(settings, lambda line: _write(target, line), timeout)) if wait else None
        run = _Run(settings, outcomes, progress, Path(file).stat().st_size if file != "-" else None, source)
        run.publish(rows, strict=strict)
        complete = run.wait(timeout)
    return _report(run, outcomes, complete=complete, strict=strict)


def _open(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error


def _write(target: BinaryIO, line: bytes) -> None:
    target.write(line + b"\n")


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeElapsedColumn()
    return Progress(*columns, console=ERR, disable=not ERR.is_terminal)


class _Run:
    """One publication, with its counts and its bars."""

    def __init__(
        self, settings: Settings, outcomes: Outcomes | None, progress: Progress, size: int | None, source: BinaryIO
    ) -> None:
        self._settings = settings
        self._outcomes = outcomes
        self._progress = progress
        self._size = size
        self._source = source
        self._bar: TaskID = progress.add_task("published", total=size, said="")
        self.count = Count()

    def publish(self, rows: Iterator[Row | Refused], *, strict: bool) -> None:
        """Send all rows and wait for their deliveries."""
        expect = self._outcomes.expect_place if self._outcomes else None
        tracing = start_tracing(self._settings, "publish")
        with JobPublisher(self._settings, on_delivered=lambda one: _if_raw(one, expect), tracing=tracing) as publisher:
            publisher.publish_many(self._jobs(rows, publisher, strict=strict))
        self._progress.update(self._bar, completed=self._size, said=f"{self.count.accepted:,} rows")

    def _jobs(self, rows: Iterator[Row | Refused], publisher: JobPublisher, *, strict: bool) -> Iterator[TextJob]:
        for row in rows:
            if isinstance(row, Refused):
                self._refuse(row, publisher, strict=strict)
                if strict:
                    return
                continue
            if self._outcomes:
                self._outcomes.expect(row.job.job_id)
            self.count.accepted += 1
            if self.count.accepted % 500 == 0:
                self._progress.update(self._bar, completed=self._position(), said=f"{self.count.accepted:,} rows")
            yield row.job

    def _position(self) -> int | None:
        return self._source.tell() if self._size is not None else None

    def _refuse(self, row: Refused, publisher: JobPublisher, *, strict: bool) -> None:
        self.count.refused += 1
        if len(self.count.shown) < REFUSED_SHOWN:
            self.count.shown.append(f"line {row.line}: {row.error.code}: {row.error.reason}")
        if row.raw is None:
            self.count.lost += 1
        elif not strict:
            publisher.publish_raw(row.raw)

    def wait(self, timeout_s: float) -> bool:
        """Wait for all outcomes; False where some are missing."""
        if self._outcomes is None:
            return True
        outcomes = self._outcomes
        bar = self._progress.add_task("came back", total=outcomes.missing + outcomes.results + outcomes.dead, said="")

        def tick() -> None:
            done = outcomes.results + outcomes.dead
            self._progress.update(bar, completed=done, said=f"{outcomes.results:,} results, {outcomes.dead:,} dead letters")

        complete = outcomes.wait(timeout_s, tick)
        tick()
        return complete


def _if_raw(delivery: Delivery, expect: Any) -> None:  # noqa: ANN401 (a method or None)
    if expect and not delivery.job_ids:
        expect(delivery)


def _report(run: _Run, outcomes: Outcomes | None, *, complete: bool, strict: bool) -> int:
    count = run.count
    ERR.print(f"{count.accepted:,} rows accepted, {count.refused:,} refused")
    for line in count.shown:
        ERR.print(f"  {line}", markup=False)
    if count.refused > len(count.shown):
        ERR.print(f"  … and {count.refused - len(count.shown):,} more")
    if count.lost:
        ERR.print(f"  {count.lost:,} of them could not be published as they are, so they are in no dead letter")
    if strict and count.refused:
        ERR.print("stopped at the first refused row (--strict); the rows before it were published")
    if outcomes:
        ERR.print(f"{outcomes.results:,} results, {outcomes.dead:,} dead letters, {outcomes.missing:,} missing")
        if not complete:
            ERR.print(f"missing, for example: {', '.join(outcomes.missing_ids(5))}", markup=False)
            return exits.TIMEOUT
    return exits.INCOMPLETE if count.refused or (outcomes and outcomes.dead) else exits.OK
