"""Drafts a data file for your own CSV, TSV or JSON lines: reads it, counts its values, and proposes a label for each.

    python -m training.draft tickets.csv --text body --label kind --output tickets.toml

Look it over, then hand it to `training.prepare --own`.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Final

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.own_data import OwnSource
from training.own_rows import records

FEW_ROWS: Final = 1000
SHARE, FEW_ROWS_SHARE = 0.1, 0.2
"""Of the rows, for validation and for the test: less would be too few of few rows to tell anything."""
VALUES_MAX: Final = 50
"""More different values than that are no labels, but texts or numbers."""


def draft(file: Path, text: str, label: str) -> str:
    """The data file, as TOML; raises ConfigurationError where the columns are not there or hold no labels."""
    own = OwnSource(name=_name(file.stem, "-"), file=file.name, text=text, label=label)
    counts, rows = Counter[str](), 0
    for rows, record in enumerate(records(own, file.parent), 1):  # noqa: B007 (counted on)
        if missing := [name for name in (text, label) if name not in record]:
            raise ConfigurationError(f"{file}: no column {missing[0]!r}; it has {', '.join(map(str, record))}")
        value = record[label]
        counts.update(map(str, value) if isinstance(value, list) else [str(value).strip()])
    if not 1 < len(counts) <= VALUES_MAX:
        raise ConfigurationError(f"{file}: column {label!r} holds {len(counts)} different values: is it the one with the labels?")
    return _toml(own, counts, rows)


def _toml(own: OwnSource, counts: Counter[str], rows: int) -> str:
    names = {value: _name(value, "_") for value, _ in counts.most_common()}
    labels = "".join(
        f'[[labels]]\nname = "{name}"   # {counts[value]} rows\ndescription = ""\n'
        "harmless = false   # true where it asks for nothing, as topics do\n\n"
        for value, name in names.items()
    )
    share = FEW_ROWS_SHARE if rows < FEW_ROWS else SHARE
    pairs = ", ".join(f'{_quoted(value)} = "{name}"' for value, name in names.items())
    return (
        f'name = "{own.name}"\n'
        'task = "single_label"   # or multi_label: then a value may stand for several labels, or, as [], for none\n'
        f"validation = {share}         # share of the rows that maps and thresholds are found on\n"
        f"test = {share}               # and of those that figures are measured on\n\n"
        f"{labels}"
        f'[[sources]]\nname = "{own.name}"\nfile = {_quoted(own.file or "")}\n'
        f"text = {_quoted(own.text)}\nlabel = {_quoted(own.label)}\n"
        f'map = {{ {pairs} }}\nrows = {rows}\nlicence = "your own"\n'
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _name(value: str, joint: str) -> str:
    """A name that models and labels may have; values without Latin letters are for you to name."""
    name = re.sub(r"[^a-z0-9]+", joint, value.lower()).strip(joint)
    return name if name and name[0].isalpha() else f"label{joint}{name}".strip(joint)


def main() -> None:
    """Draft it."""
    arguments = parser(__doc__)
    arguments.add_argument("file", type=Path, help="your CSV, TSV or JSON lines")
    arguments.add_argument("--text", default="text", help="its column of texts")
    arguments.add_argument("--label", default="label", help="its column of labels")
    arguments.add_argument("--output", type=Path, required=True, help="the data file to write, beside yours")
    given = arguments.parse_args()
    if given.output.exists():
        raise ConfigurationError(f"{given.output} is there already: remove it, or name another")
    given.output.write_text(draft(given.file, given.text, given.label), "utf-8")
    print(f"written to {given.output}; look it over, above all which labels are harmless")


if __name__ == "__main__":
    run(main)
