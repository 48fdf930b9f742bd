"""Gathers the rows of data sets: normalised as serving does it, each text once, in its most guarded split."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from pipeline.text.language import LanguageDetector
from pipeline.text.normalise import normalise
from training.rows import Row, Split
from training.sources import Source, counted
from training.splits import Shares, split_of

_GUARD: Final[dict[Split, int]] = {"test": 2, "validation": 1, "train": 0}
Line = dict[str, Any]
"""A row as it is written: see `training.table`."""


def lines(sources: Iterable[Source], data: Path, shares: Shares, dropped: Counter[str]) -> Iterator[Line]:
    """The rows of `sources` under `data`; `dropped` counts what is left out, by reason.

    Raises ConfigurationError where a source has more or fewer rows than it should have.
    """
    detector = LanguageDetector()
    for source, text, row in _unique(sources, data, shares, dropped):
        yield {
            "text": text,
            "labels": row.labels,
            "split": row.split or split_of(text, shares),
            "source": source.name,
            "language": source.language if source.language in {"en", "zh"} else detector.detect(text),
            **{name: said for name, said in (("phenomenon", row.phenomenon), ("pair", row.pair)) if said},
        }


def _unique(sources: Iterable[Source], data: Path, shares: Shares, dropped: Counter[str]) -> Iterator[tuple[Source, str, Row]]:
    """Every text once, in its most guarded split: a test text is never trained on, whichever set repeats it."""
    found: dict[str, tuple[Source, str, Row]] = {}
    for source in tqdm(list(sources), desc="prepare", unit=" sets", leave=False):
        trained = 0
        for row in counted(source, data):
            text = normalise(row.text).text
            split = row.split or split_of(text, shares)
            trained += split == "train"
            if not text or (split == "train" and trained > source.train_rows_max):
                dropped["beyond the most of a set" if text else "empty"] += 1
                continue
            key = _sameness(text)
            before = found.get(key)
            dropped["repeated"] += before is not None
            if before is None or _GUARD[split] > _GUARD[before[2].split or split_of(before[1], shares)]:
                found[key] = (source, text, row)
    return iter(found.values())


def _sameness(text: str) -> str:
    """What two texts share that are the same but for case, spaces and punctuation. Emoji count: they may turn the meaning."""
    return "".join(character for character in text.casefold() if unicodedata.category(character)[0] not in "PZCM")
