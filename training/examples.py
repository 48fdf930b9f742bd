"""Rows of tasks that need more than a text: tagged words (CoNLL or JSON lines) and questions with answers (SQuAD or JSON lines).

They are kept as written: normalising would move the places that tags and answers name.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.errors import ConfigurationError
from training.own_data import DataFile, OwnSource
from training.rows import SPLIT_NAMES, Split
from training.splits import Shares, split_of

Example = dict[str, Any]


def examples(data: DataFile, folder: Path) -> Iterator[Example]:
    """Every example of every source, once, with its split: `words` and `tags`, or `question`, `context` and `answers`."""
    seen: set[str] = set()
    for own in data.sources:
        found = [*_read(folder / (own.file or own.folder or ""))]
        if own.rows not in {None, len(found)}:
            raise ConfigurationError(f"source {own.name}: {len(found):,} rows, and there should be {own.rows:,}")
        for example in found:
            key = _key(example)
            if key not in seen:
                seen.add(key)
                yield {**example, "split": _split(own, example, data), "source": own.name, "language": own.language}


def _read(file: Path) -> Iterator[Example]:
    if not file.is_file():
        raise ConfigurationError(f"there is no {file}")
    text = file.read_text("utf-8-sig")
    if file.suffix == ".json":
        return _squad(json.loads(text))
    if file.suffix in {".jsonl", ".ndjson"}:
        return map(json.loads, text.splitlines())
    return _conll(text)


def _conll(text: str) -> Iterator[Example]:
    """One word a line with its tag in the last column; a blank line ends a sentence."""
    for sentence in text.replace("\r\n", "\n").split("\n\n"):
        columns = [line.split() for line in sentence.splitlines() if line.strip() and not line.startswith("-DOCSTART-")]
        if columns:
            yield {"words": [row[0] for row in columns], "tags": [row[-1] for row in columns]}


def _squad(content: dict[str, Any]) -> Iterator[Example]:
    for article in content["data"]:
        for paragraph in article["paragraphs"]:
            for asked in paragraph["qas"]:
                answers = [{"text": one["text"], "start": one["answer_start"]} for one in asked["answers"]]
                yield {"question": asked["question"], "context": paragraph["context"], "answers": answers}


def _key(example: Example) -> str:
    return " ".join(example["words"]) if "words" in example else f"{example['question']}\0{example['context']}"


def _split(own: OwnSource, example: Example, data: DataFile) -> Split:
    """Questions on one context share a split, as its words would give the answer away."""
    name = example.get(own.split, own.split) if own.split else ""
    if name:
        return SPLIT_NAMES[name]
    return split_of(example.get("context") or _key(example), Shares(data.validation, data.test))
