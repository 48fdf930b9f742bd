"""The words of `lexicon.toml`: what a disguised token must read as before it is folded."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Final

_WORDS: Final[dict[str, str]] = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text("utf-8"))
ENGLISH: Final = frozenset(_WORDS["english"].split())
STEMS: Final = tuple(_WORDS["stems"].split())
CHINESE: Final = tuple(sorted(_WORDS["chinese"].split(), key=len, reverse=True))
ENDINGS: Final = ("s", "es", "ed", "er", "ers", "ing", "in", "y")
WORD_CHARACTERS_MAX: Final = 24
"""Longer runs of letters are no words."""


def is_word(letters: str) -> bool:
    """Whether `letters` is an English word of the lexicon, with or without an ending."""
    lower = letters.lower()
    if lower in ENGLISH:
        return True
    return any(lower.endswith(ending) and lower[: -len(ending)] in ENGLISH for ending in ENDINGS)


@lru_cache(maxsize=4096)
def is_spelled(letters: str) -> bool:
    """Whether `letters` is made of words of the lexicon put together, or holds one of its stems."""
    lower = letters.lower()
    if any(stem in lower for stem in STEMS):
        return True
    reachable = [True] + [False] * len(lower)
    for end in range(1, len(lower) + 1):
        begins = range(max(0, end - WORD_CHARACTERS_MAX), end)
        reachable[end] = any(reachable[begin] and is_word(lower[begin:end]) for begin in begins)
    return reachable[-1]
