"""Texts as rows of equal length: one stream of token ids, each text ended, cut into blocks and framed."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from schemas.errors import ConfigurationError
from training.plain_text import held_out

Ids = npt.NDArray[np.int64]
BATCH: Final = 1000
FRAME: Final = 2


def blocks(texts: Iterable[str], tokenizer: Tokenizer, tokens_max: int) -> tuple[Ids, Ids]:
    """Rows [rows, tokens_max] to learn from, and held-out ones; raises ConfigurationError where there are too few texts."""
    begin, end = (token_id(tokenizer, name) for name in ("<s>", "</s>"))
    learned, held = list[list[int]](), list[list[int]]()
    for text, ids in _encoded(texts, tokenizer):
        (held if held_out(text) else learned).append([*ids, end])
    rows = [_cut(stream, tokens_max, begin, end) for stream in (learned, held)]
    if not len(rows[0]):
        raise ConfigurationError(f"the texts are shorter than one row of {tokens_max} tokens")
    return rows[0], rows[1]


def token_id(tokenizer: Tokenizer, name: str) -> int:
    """The id of a special token; raises ConfigurationError where there is none."""
    number = tokenizer.token_to_id(name)
    if number is None:
        raise ConfigurationError(f"the tokenizer has no token {name}")
    return number


def _encoded(texts: Iterable[str], tokenizer: Tokenizer) -> Iterator[tuple[str, list[int]]]:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH:
            yield from _pairs(batch, tokenizer)
            batch = []
    yield from _pairs(batch, tokenizer)


def _pairs(batch: list[str], tokenizer: Tokenizer) -> Iterator[tuple[str, list[int]]]:
    encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    return zip(batch, (encoding.ids for encoding in encodings), strict=True)


def _cut(stream: list[list[int]], tokens_max: int, begin: int, end: int) -> Ids:
    """What is left over at the end, less than a block, is dropped."""
    ids = np.array([number for text in stream for number in text], np.int64)
    size = tokens_max - FRAME
    rows = ids[: len(ids) // size * size].reshape(-1, size)
    frame = np.full((len(rows), 1), begin), np.full((len(rows), 1), end)
    return np.concatenate([frame[0], rows, frame[1]], axis=1).astype(np.int64)
