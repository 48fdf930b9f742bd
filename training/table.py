"""Prepared texts with their labels, splits and sources: a table in memory, shards of JSON lines on disk.

A line holds one text: `{"text": …, "labels": {"toxicity": 1, "spam": 0}, "split": "train", "source": "cold", "language": "zh"}`.
A label that is not there is unknown, which is not the same as no.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from training.labels import NAMES
from training.rows import Split

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
SHARD_ROWS: Final = 50_000
"""Rows of one file: some 10 MB, so that a large set can be read in parts."""
NOTES: Final = ("language", "phenomenon", "pair")
"""What a row may say beside: its language, and what a sentence written for this project tests, and with which others."""
Labels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Table:
    """One row a text: `labels` [n, names] float32 with NaN for unknown; the rest are lists of n, notes may be missing."""

    texts: list[str]
    labels: Labels
    splits: list[Split]
    sources: list[str]
    names: tuple[str, ...] = NAMES
    notes: dict[str, list[str]] = field(default_factory=dict)

    def where(self, *, split: Split | None = None, source: str | None = None) -> "Table":
        """The rows of one split, of one source, or of both."""
        chosen = [
            i
            for i in range(len(self.texts))
            if (split is None or self.splits[i] == split) and (source is None or self.sources[i] == source)
        ]
        return self.take(chosen)

    def take(self, chosen: Sequence[int]) -> "Table":
        """The rows at `chosen`, in that order."""
        return Table(
            texts=[self.texts[i] for i in chosen],
            labels=self.labels[list(chosen)],
            splits=[self.splits[i] for i in chosen],
            sources=[self.sources[i] for i in chosen],
            names=self.names,
            notes={name: [column[i] for i in chosen] for name, column in self.notes.items()},
        )

    def column(self, name: str) -> npt.NDArray[np.float64]:
        """The truths of one label [n], NaN where unknown."""
        return self.labels[:, self.names.index(name)].astype(np.float64)

    def note(self, name: str) -> list[str]:
        """What each row says of itself under `name`; empty strings where nothing is said."""
        return self.notes.get(name) or [""] * len(self.texts)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each row as its line on disk says it."""
        notes = {name: self.note(name) for name in NOTES}
        for i, text in enumerate(self.texts):
            known = {name: int(self.labels[i, at]) for at, name in enumerate(self.names) if not np.isnan(self.labels[i, at])}
            said = {name: column[i] for name, column in notes.items() if column[i]}
            yield {"text": text, "labels": known, "split": self.splits[i], "source": self.sources[i], **said}


def table_of(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> Table:
    """The table of rows as `Table.rows` gives them."""
    kept = list(rows)
    labels = np.full((len(kept), len(names)), np.nan, np.float32)
    for i, row in enumerate(kept):
        for at, name in enumerate(names):
            labels[i, at] = row["labels"].get(name, np.nan)
    return Table(
        texts=[row["text"] for row in kept],
        labels=labels,
        splits=[row["split"] for row in kept],
        sources=[row["source"] for row in kept],
        names=tuple(names),
        notes={name: [row.get(name, "") for row in kept] for name in NOTES},
    )


def write_shards(folder: Path, rows: Iterable[dict[str, Any]]) -> list[Path]:
    """Write rows to `SPLIT-NUMBER.jsonl`; returns the files. What lay there under such a name goes first."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in shards(folder):
        old.unlink()
    by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
    for row in rows:
        by_split[row["split"]].append(json.dumps(row, ensure_ascii=False) + "\n")
    written = []
    for split, lines in by_split.items():
        for number, start in enumerate(range(0, len(lines), SHARD_ROWS)):
            written.append(folder / f"{split}-{number:03}.jsonl")
            written[-1].write_text("".join(lines[start : start + SHARD_ROWS]), "utf-8")
    return written


def shards(folder: Path) -> list[Path]:
    """The files of prepared rows in `folder`."""
    return sorted(file for split in SPLITS for file in folder.glob(f"{split}-[0-9]*.jsonl"))


def read_shards(folder: Path) -> Iterator[dict[str, Any]]:
    """Their rows; raises FileNotFoundError where there are none."""
    files = shards(folder)
    if not files:
        raise FileNotFoundError(f"{folder}: nothing prepared there; training.prepare writes it")
    for file in files:
        with file.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)
