"""Texts with real lengths: public comments where their folder is at hand, else the examples, drawn so that lengths are the same.

Every benchmark measures the same texts: half English, some Chinese, 21 tokens in the median and 27 in the mean.
"""

import json
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from pipeline.bundles import Bundle
from pipeline.preprocess.tokenise import Ids, Tokenizer, cut_windows
from pipeline.text.normalise import normalise
from training.sources import MODERATION

ROOT: Final = Path(__file__).resolve().parents[2]
DATA: Final = ROOT.parent / "shared" / "data"
"""Where the public data sets lie that training reads, if anywhere."""
EXAMPLES: Final = ROOT / "examples" / "comments.jsonl"
_SETS: Final = ("cold", "goemotions", "sms-spam", "hatemoji", "edos", "surge-toxicity", "jade")
"""Data sets of comments; together their lengths are those of short public comments."""
_ROWS_EACH: Final = 1_000
LENGTHS: Final = (1, 6, 8, 10, 11, 13, 14, 16, 17, 19, 21, 23, 26, 28, 31, 34, 38, 43, 50, 62, 128)
"""Tokens at the 0th, 5th, … 100th percentile of those comments: what the examples are drawn by."""
_NEAREST: Final = 5
"""Examples of about the wanted length, of which one is drawn: else the same few would come again and again."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is sent through; `source` says where it comes from."""

    texts: list[str]
    source: str


def real_texts(count: int, bundle: Bundle, data: Path = DATA, seed: int = 1) -> Texts:
    """`count` texts in random order, the same for the same seed and source; texts repeat where there are too few."""
    drawn = random.Random(seed)
    if data.is_dir():
        pool = list(_comments(data))
        rounds = [drawn.sample(pool, len(pool)) for _ in range(-(-count // len(pool)))]
        return Texts([text for one in rounds for text in one][:count], "public comments")
    examples = [str(json.loads(line)["text"]) for line in EXAMPLES.read_text("utf-8").splitlines()]
    lengths = [sum(map(len, windows)) for windows in windows_of(examples, bundle)]
    chosen = resample(lengths, [wanted_length(drawn.random()) for _ in range(count)], drawn)
    return Texts([examples[number] for number in chosen], "examples, drawn by length")


def _comments(data: Path) -> Iterator[str]:
    for source in MODERATION:
        if source.name in _SETS:
            yield from (row.text for row in islice(source.parse(data), _ROWS_EACH) if row.text.strip())


def wanted_length(share: float) -> int:
    """Tokens below which `share` of the comments lie, on straight lines between the percentiles."""
    place = share * (len(LENGTHS) - 1)
    below = min(int(place), len(LENGTHS) - 2)
    return round(LENGTHS[below] + (place - below) * (LENGTHS[below + 1] - LENGTHS[below]))


def resample(lengths: Sequence[int], wanted: Sequence[int], drawn: random.Random) -> list[int]:
    """For each wanted length the number of one of `lengths` that is among the nearest to it."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    ascending = [lengths[number] for number in order]
    last = max(0, len(order) - _NEAREST)
    chosen = []
    for length in wanted:
        begin = min(max(0, bisect_left(ascending, length) - _NEAREST // 2), last)
        chosen.append(order[begin + drawn.randrange(min(_NEAREST, len(order)))])
    return chosen


def windows_of(texts: Sequence[str], bundle: Bundle) -> list[list[Ids]]:
    """The token windows of each text, as preprocess makes them."""
    spec = bundle.manifest
    ids = Tokenizer(bundle).encode_batch([normalise(text).text for text in texts])
    return [cut_windows(found, spec.windows, spec.tokenizer.begin_id, spec.tokenizer.end_id) for found in ids]
