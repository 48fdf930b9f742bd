"""What stands for a word in a disguise: by trick, a word and the ways to show it, from the files `disguise.tsv`."""

import random
import re
from collections.abc import Callable
from functools import cache

from training.contrast.sets import DATA, Language


@cache
def replacements(language: Language, trick: str) -> dict[str, tuple[str, ...]]:
    """The words that a trick replaces, each with its replacements."""
    table: dict[str, tuple[str, ...]] = {}
    heading = ""
    for line in (DATA / language / "disguise.tsv").read_text(encoding="utf-8").splitlines():
        if line.startswith("=="):
            heading = line[2:].strip()
        elif line and heading == trick:
            word, shown = line.split("\t")
            table[word] = tuple(shown.split("|"))
    return table


@cache
def _pattern(language: Language, trick: str) -> re.Pattern[str]:
    words = "|".join(map(re.escape, sorted(replacements(language, trick), key=len, reverse=True)))
    return re.compile(rf"\b(?:{words})\b" if language == "en" else words, re.IGNORECASE)


def replacing(language: Language, trick: str, share: float = 1.0) -> Callable[[str, random.Random], str]:
    """A function that replaces that share of the words of a trick in a text."""

    def replace(text: str, chance: random.Random) -> str:
        table = replacements(language, trick)
        return _pattern(language, trick).sub(
            lambda found: chance.choice(table[found[0].lower()]) if chance.random() < share else found[0], text
        )

    return replace
