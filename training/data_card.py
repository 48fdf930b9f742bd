"""The card of prepared data, `card.json` and a page for people: what lies there, from where, under which licences, how much."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from schemas.base import Message
from training.labels import Grade, Label
from training.page import table as markdown
from training.rows import Split
from training.table import SPLITS

CARD: Final = "card.json"
LANGUAGES_SHOWN: Final = 6
"""The page names the most frequent ones; the card has all."""
Task = Literal["multi_label", "single_label", "token", "answer"]
"""Independent labels, one label of several, a tag a word, or the place of an answer in a text."""


class LabelCard(Message):
    """A label: its name in the model, how far the data carries it, what it means.

    One that is `harmless`, such as ham, asks for nothing: no threshold is sought for it.
    """

    name: str
    grade: Grade = "fair"
    description: str = ""
    harmless: bool = False


class SourceCard(Message):
    """A data set, and how many of its rows each split got."""

    name: str
    language: str
    licence: str
    home: str
    rows: dict[Split, int]


class LabelCount(Message):
    """Rows of one split that know a label, and those that carry it."""

    known: int
    positive: int


class DataCard(Message):
    """What `card.json` holds."""

    name: str
    task: Task
    labels: tuple[LabelCard, ...]
    sources: tuple[SourceCard, ...]
    counts: dict[Split, dict[str, LabelCount]]
    languages: dict[Split, dict[str, int]]
    characters: dict[Split, dict[str, int]]
    dropped: dict[str, int]
    shards: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names, in the order of the model's outputs."""
        return tuple(label.name for label in self.labels)

    @property
    def harmless(self) -> frozenset[str]:
        """Those that ask for nothing."""
        return frozenset(label.name for label in self.labels if label.harmless)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether all do: they are topics, and there is no threshold to seek."""
        return len(self.harmless) == len(self.labels)


def label_cards(labels: Iterable[Label]) -> tuple[LabelCard, ...]:
    """The same labels as a card names them."""
    return tuple(LabelCard(**label._asdict()) for label in labels)


def write_card(folder: Path, card: DataCard) -> None:
    """Write the card, and `README.md` made of it."""
    (folder / CARD).write_text(card.model_dump_json(indent=2) + "\n", "utf-8")
    (folder / "README.md").write_text(_page(card), "utf-8")


def load_card(folder: Path) -> DataCard:
    """The card in `folder`."""
    return DataCard.model_validate_json((folder / CARD).read_bytes())


def label_counts(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[Split, dict[str, LabelCount]]:
    """How often each split knows and carries each label."""
    known, positive = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for row in rows:
        for name, value in row["labels"].items():
            known[row["split"], name] += 1
            positive[row["split"], name] += value
    return {
        split: {name: LabelCount(known=known[split, name], positive=positive[split, name]) for name in names} for split in SPLITS
    }


def source_counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[Split, int]]:
    """Rows of each source by split."""
    counted = Counter((row["source"], row["split"]) for row in rows)
    return {source: {split: counted[source, split] for split in SPLITS} for source, _ in counted}


def language_counts(rows: Iterable[Mapping[str, Any]]) -> dict[Split, dict[str, int]]:
    """Rows of each language by split, the most frequent first."""
    counted = Counter((row["split"], row.get("language", "und")) for row in rows)
    return {split: {name: n for (own, name), n in counted.most_common() if own == split} for split in SPLITS}


def text_lengths(rows: Iterable[Mapping[str, Any]], text: str = "text") -> dict[Split, dict[str, int]]:
    """Characters of the texts by split: median, 95th percentile, longest."""
    lengths: dict[Split, list[int]] = {split: [] for split in SPLITS}
    for row in rows:
        lengths[row["split"]].append(len(row[text]))
    return {
        split: {"median": int(np.median(of)), "p95": int(np.percentile(of, 95)), "max": max(of)}
        for split, of in lengths.items()
        if of
    }


def checksums(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def _page(card: DataCard) -> str:
    counts = [
        (label.name, *(f"{of.positive:,} of {of.known:,}" for of in (card.counts[split][label.name] for split in SPLITS)))
        for label in card.labels
        if card.counts
    ]
    sources = [
        (one.name, one.language, *(f"{one.rows[split]:,}" for split in SPLITS), one.licence, one.home) for one in card.sources
    ]
    lengths = [(split, *of.values()) for split, of in card.characters.items()]
    languages = [
        (split, ", ".join(f"{name} {n:,}" for name, n in list(of.items())[:LANGUAGES_SHOWN]))
        for split, of in card.languages.items()
    ]
    return "\n".join(
        [
            f"# {card.name}, prepared\n",
            "Rows that carry a label, of those that know it:\n",
            markdown(("label", *SPLITS), counts),
            markdown(("data set", "language", *SPLITS, "licence", "home"), sources),
            markdown(("split", "languages"), languages),
            markdown(("characters", "median", "p95", "longest"), lengths),
            "Left out: " + (", ".join(f"{n:,} {why}" for why, n in card.dropped.items()) or "nothing") + ".\n",
        ]
    )
