"""Data sets to one table of texts, labels and splits, ready for a tokenizer.

    python -m training.prepare --data FOLDER --output prepared.jsonl

A text is normalised exactly as serving does it, belongs to one split whatever set it stands in, and its unknown labels
are NaN. Rows without a split of their own get one from the hash of their text, so adding a set moves no other row.
"""

import argparse
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline.text.normalise import normalise
from training.labels import NAMES
from training.rows import Row, Split
from training.sources import MODERATION, Source

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
VALIDATION_SHARE, TEST_SHARE = 0.08, 0.12
_HASH_RANGE: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Table:
    """One row a text: `labels` [n, labels] float32 with NaN for unknown; the rest are lists of n."""

    texts: list[str]
    labels: npt.NDArray[np.float32]
    splits: list[Split]
    sources: list[str]

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
        picked = [[column[i] for i in chosen] for column in (self.texts, self.splits, self.sources)]
        return Table(picked[0], self.labels[list(chosen)], picked[1], picked[2])  # type: ignore[arg-type]

    def save(self, path: Path) -> None:
        """Write as JSON lines; unknown labels are null."""
        with path.open("w", encoding="utf-8") as file:
            for text, labels, split, source in zip(self.texts, self.labels, self.splits, self.sources, strict=True):
                known = [None if np.isnan(label) else int(label) for label in labels]
                file.write(json.dumps([text, known, split, source], ensure_ascii=False) + "\n")


def load_table(path: Path) -> Table:
    """What `Table.save` wrote."""
    with path.open(encoding="utf-8") as file:
        texts, labels, splits, sources = zip(*map(json.loads, file), strict=True)
    known = [[np.nan if label is None else label for label in row] for row in labels]
    return Table(list(texts), np.array(known, np.float32), list(splits), list(sources))


def prepare(sources: Sequence[Source], data: Path) -> Table:
    """All rows of `sources` under `data`, each text once."""
    rows = list(_unique(sources, data))
    return Table(
        texts=[text for _, text, _ in rows],
        labels=np.array([[row.labels.get(name, np.nan) for name in NAMES] for _, _, row in rows], np.float32),
        splits=[row.split or split_of(text) for _, text, row in rows],
        sources=[source.name for source, _, _ in rows],
    )


def _unique(sources: Iterable[Source], data: Path) -> Iterator[tuple[Source, str, Row]]:
    """Every text once, in its most guarded split: a test text is never trained on, whichever set repeats it."""
    guard = {"test": 2, "validation": 1, "train": 0}
    found: dict[str, tuple[Source, str, Row]] = {}
    for source in sources:
        trained = 0
        for row in source.parse(data):
            text = normalise(row.text).text
            split = row.split or split_of(text)
            trained += split == "train"
            if not text or (split == "train" and trained > source.train_rows_max):
                continue
            key = _sameness(text)
            before = found.get(key)
            if before is None or guard[split] > guard[before[2].split or split_of(before[1])]:
                found[key] = (source, text, row)
    return iter(found.values())


def _sameness(text: str) -> str:
    """What two texts share that are the same but for case, spaces and punctuation. Emoji count: they may turn the meaning."""
    return "".join(character for character in text.casefold() if unicodedata.category(character)[0] not in "PZCM")


def split_of(text: str) -> Split:
    """The split of a text whose set does not decide it: by hash, so always the same."""
    place = int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:4], "big") / _HASH_RANGE
    if place < TEST_SHARE:
        return "test"
    return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"


def report(table: Table) -> Iterator[str]:
    """How many texts each split holds, and how many carry each label."""
    for split in SPLITS:
        chosen = table.where(split=split).labels
        counts = ", ".join(f"{name} {int((chosen[:, i] == 1).sum())}" for i, name in enumerate(NAMES))
        yield f"{split}: {len(chosen):,} texts; {counts}"


def main() -> None:
    """Prepare the moderation data."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    arguments.add_argument("--output", type=Path, required=True, help="the JSON lines to write")
    given = arguments.parse_args()
    table = prepare(MODERATION, given.data)
    table.save(given.output)
    print(*report(table), sep="\n")


if __name__ == "__main__":
    main()
