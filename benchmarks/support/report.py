"""How a benchmark ends: a table for people, one line of JSON for machines, and a file where the figures are to be kept."""

import json
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.support.machine import circumstances
from benchmarks.support.texts import DATA

RESULTS: Final = Path(__file__).resolve().parents[1] / "results"


def arguments(description: str | None, jobs: int) -> ArgumentParser:
    """The options that every benchmark has."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=jobs, help="how many texts; fewer are faster and noisier (%(default)s)")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the public data sets; the examples stand in for it")
    parser.add_argument("--keep", action="store_true", help=f"write the figures to {RESULTS.relative_to(RESULTS.parents[1])}/")
    return parser


class Report:
    """Opened before the measuring, so that the circumstances are those of its beginning."""

    def __init__(self, benchmark: str, given: Namespace) -> None:
        self.console = Console(stderr=True, highlight=False)
        self._keep = bool(given.keep)
        self._figures: dict[str, Any] = {"benchmark": benchmark, **circumstances()}

    def say(self, sentence: str) -> None:
        """Tell a person who waits what is going on."""
        self.console.print(sentence, markup=False)

    def finish(self, figures: dict[str, Any], *tables: Table) -> None:
        """Print the tables, keep the figures if asked to, and end with the line of JSON."""
        self._figures |= figures
        console = Console(highlight=False)
        for table in tables:
            console.print(table)
        if self._keep:
            RESULTS.mkdir(exist_ok=True)
            file = RESULTS / f"{self._figures['benchmark'].removeprefix('bench_')}.json"
            file.write_text(json.dumps(self._figures, indent=2, ensure_ascii=False) + "\n", "utf-8")
        print(json.dumps(self._figures, ensure_ascii=False))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose first column names and whose others are figures."""
    made = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        made.add_column(column, justify="right" if number else "left")
    for row in rows:
        made.add_row(*map(str, row))
    return made


def rounded(figures: dict[str, float], digits: int = 1) -> dict[str, float]:
    """The same figures without digits that are noise."""
    return {name: round(value, digits) for name, value in figures.items()}
