"""Plain texts in a folder, whatever they lie in: lines of text files, JSON lines, lists of poems.

A text file is parted at blank lines (paragraphs); `.jsonl` has a `text` a line; `.json` is a list of objects with `text` or
`paragraphs`, as collections of poems have.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from schemas.errors import ConfigurationError
from training.data_card import CARD

SUFFIXES: Final = frozenset({".txt", ".md", ".jsonl", ".json"})
NOT_TEXTS: Final = frozenset({"readme", "license", "source", "licence", "notice"})
_BLANK_LINE: Final = re.compile(r"\n\s*\n")
HELD_OUT_SHARE: Final = 0.05
"""Share of the texts, by hash, that perplexity is measured on."""


def texts(folders: Iterable[Path]) -> Iterator[str]:
    """Every text below the folders, or in the files, that are named; of prepared texts, those of the training split.

    Raises ConfigurationError where there is none.
    """
    found = False
    for folder in folders:
        for file in _files(folder):
            for text in _texts(file):
                found = True
                yield text
    if not found:
        raise ConfigurationError(f"no texts in {', '.join(map(str, folders))}: {', '.join(sorted(SUFFIXES))} are read")


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if (folder / CARD).exists():
        return sorted(folder.glob("train-*.jsonl"))
    return sorted(
        file for file in folder.rglob("*") if file.suffix in SUFFIXES and file.stem.lower() not in NOT_TEXTS and file.is_file()
    )


def _texts(file: Path) -> Iterator[str]:
    content = file.read_text("utf-8-sig")
    if file.suffix == ".jsonl":
        return (str(json.loads(line)["text"]) for line in content.splitlines() if line.strip())
    if file.suffix == ".json":
        return filter(None, map(_poem, json.loads(content)))
    return (paragraph.strip() for paragraph in _BLANK_LINE.split(content) if paragraph.strip())


def _poem(entry: Any) -> str:  # noqa: ANN401 (whatever JSON holds)
    if not isinstance(entry, dict):
        return ""
    return str(entry.get("text") or "\n".join(entry.get("paragraphs", ())))


def held_out(text: str) -> bool:
    """Whether a text is kept for measuring: by hash, so always the same."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") < HELD_OUT_SHARE * (1 << 32)
