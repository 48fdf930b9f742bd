"""Reads your own files: CSV, TSV, JSON lines, and folders of plain texts; each row becomes a text and what is known of it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from schemas.errors import ConfigurationError
from training.own_data import DataFile, OwnSource
from training.rows import SPLIT_NAMES, Row, Split, table
from training.sources import Source

YES: Final = frozenset({"1", "1.0", "true", "yes", "y", "t"})
NO: Final = frozenset({"0", "0.0", "false", "no", "n", "f"})
_SHOWN: Final = 8
Record = Mapping[str, Any]


def sources_of(data: DataFile, folder: Path) -> tuple[Source, ...]:
    """Its sources, as the built-in ones are; their files are looked for in `folder`."""
    return tuple(
        Source(own.name, own.language, own.licence, own.home, partial(_rows, own, data, folder), rows=own.rows)
        for own in data.sources
    )


def _rows(own: OwnSource, data: DataFile, folder: Path, _elsewhere: Path) -> Iterator[Row]:
    """Its rows; raises ConfigurationError for columns and values that the data file does not explain."""
    strange = Counter[str]()
    for record in records(own, folder):
        labels = _labels(own, data, record, strange)
        if labels is not None:
            yield Row(str(_field(own, record, own.text)), labels, _split(own, record))
    if strange:
        shown = ", ".join(f"{value!r} ({count} rows)" for value, count in strange.most_common(_SHOWN))
        raise ConfigurationError(f"source {own.name}: neither map nor skip names the values {shown}")


def records(own: OwnSource, folder: Path) -> Iterator[Record]:
    """The rows of its file, or the texts of its folder, by column."""
    place = folder / (own.file or own.folder or "")
    if not place.exists():
        raise ConfigurationError(f"source {own.name}: there is no {place}")
    if own.folder:
        return _texts(own, place)
    if place.suffix in {".jsonl", ".ndjson"}:
        return map(json.loads, place.read_text("utf-8").splitlines())
    return table(place, delimiter="\t" if place.suffix == ".tsv" else ",")


def _texts(own: OwnSource, folder: Path) -> Iterator[Record]:
    """`LABEL/anything.txt` holds one text, `LABEL.txt` one a line."""
    for file in sorted(folder.rglob("*.txt")):
        text = file.read_text("utf-8")
        if file.parent == folder:
            yield from ({own.text: line, own.label: file.stem} for line in text.splitlines() if line.strip())
        else:
            yield {own.text: text, own.label: file.relative_to(folder).parts[0]}


def _field(own: OwnSource, record: Record, name: str) -> Any:  # noqa: ANN401 (whatever JSON holds)
    if record.get(name) is None:
        raise ConfigurationError(f"source {own.name}: a row has no {name!r}; it has {', '.join(map(str, record))}")
    return record[name]


def _labels(own: OwnSource, data: DataFile, record: Record, strange: Counter[str]) -> dict[str, int] | None:
    """What the row says; None where it is to be skipped."""
    if own.columns:
        return {name: bit for name, column in own.columns.items() if (bit := _bit(own, record, column)) is not None}
    carried: set[str] = set()
    for value in _values(own, record):
        if value in own.skip:
            return None
        mapped = own.map.get(value, value if value in data.names else None)
        if mapped is None:
            strange[value] += 1
        else:
            carried |= {mapped} if isinstance(mapped, str) else set(mapped)
    known = data.names if own.known is None else own.known
    return {name: int(name in carried) for name in data.names if name in known or name in carried}


def _values(own: OwnSource, record: Record) -> list[str]:
    value = _field(own, record, own.label)
    if isinstance(value, list):
        return [str(one).strip() for one in value]
    parts = str(value).split(own.separator) if own.separator else [str(value)]
    return [part.strip() for part in parts if part.strip() or not own.separator]


def _bit(own: OwnSource, record: Record, column: str) -> int | None:
    value = str(record.get(column, "")).strip().lower()
    if value in YES | NO:
        return int(value in YES)
    if value in {"", "none", "null"} and column in record:
        return None
    raise ConfigurationError(f"source {own.name}: column {column!r} holds {value!r}, which is neither 0, 1 nor empty")


def _split(own: OwnSource, record: Record) -> Split | None:
    if own.split is None:
        return None
    value = str(record.get(own.split, own.split)).strip().lower()
    if value not in SPLIT_NAMES:
        raise ConfigurationError(f"source {own.name}: {value!r} is no split; train, validation and test are")
    return SPLIT_NAMES[value]
