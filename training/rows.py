"""What a parser yields: one labelled text. A label that a data set does not carry is left out, which means unknown, not no."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple

from training.labels import NAMES

Split = Literal["train", "validation", "test"]
SPLIT_NAMES: Final[dict[str, Split]] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}
"""What others call them."""
CLEAN = dict.fromkeys(NAMES, 0)
"""Known to be harmless in every way the model can name."""


class Row(NamedTuple):
    """A text, the labels that are known of it, and its split where the data set decides it (otherwise its hash does).

    Of sentences written for this project, `phenomenon` says what they test, and `pair` is what a sentence shares with those
    from which a small change parts it.
    """

    text: str
    labels: dict[str, int]
    split: Split | None = None
    phenomenon: str = ""
    pair: str = ""


def table(path: Path, encoding: str = "utf-8-sig", delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The rows of a CSV file by column name; cells hold whole comments, so the field limit is raised."""
    csv.field_size_limit(10_000_000)
    with path.open(encoding=encoding, newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def clean_or(harmful: bool, labels: dict[str, int]) -> dict[str, int]:  # noqa: FBT001
    """`labels` for a harmful text; everything zero for one that its annotators found harmless."""
    return labels if harmful else CLEAN
