"""The words of `lexicon.toml`: what a disguised token must read as before it is folded."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Final

_WORDS: Final[dict[str, str]] = tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text("utf-8"))
ENDINGS: Final = ("", "s", "es", "ed", "er", "ers", "ing", "in", "y")
ENGLISH: Final = tuple(_WORDS["english"].split())
"""Words that tell something on their own, the likelier first."""
_TELLING: Final = frozenset(word + ending for word in ENGLISH for ending in ENDINGS)
_ALL: Final = _TELLING | frozenset(_WORDS["company"].split())
STEMS: Final = tuple(_WORDS["stems"].split())
CHINESE: Final = tuple(sorted(_WORDS["chinese"].split(), key=len, reverse=True))
WORD_CHARACTERS_MAX: Final = 24
"""Longer runs of letters are no words."""


def is_word(letters: str) -> bool:
    """Whether `letters` is an English word of the lexicon, with or without an ending."""
    return letters.lower() in _ALL


def is_spelled(letters: str) -> bool:
    """Whether `letters` is made of words of the lexicon put together, or holds one of its stems."""
    return _words_in(letters)[0]


def is_telling(letters: str) -> bool:
    """The same, and one of the words tells something on its own: `killyou`, but not `who`."""
    return _words_in(letters)[1]


@lru_cache(maxsize=4096)
def _words_in(letters: str) -> tuple[bool, bool]:
    lower = letters.lower()
    if any(stem in lower for stem in STEMS):
        return True, True
    reached, telling = [True] + [False] * len(lower), [False] * (len(lower) + 1)
    for end in range(1, len(lower) + 1):
        begins = [begin for begin in range(max(0, end - WORD_CHARACTERS_MAX), end) if reached[begin] and lower[begin:end] in _ALL]
        reached[end] = bool(begins)
        telling[end] = any(telling[begin] or lower[begin:end] in _TELLING for begin in begins)
    return reached[-1], telling[-1]
