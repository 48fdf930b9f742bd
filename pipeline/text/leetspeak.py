"""Digits and symbols that stand for letters, and stars that stand for anything."""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import product
from typing import Final

from pipeline.text.lexicon import ENDINGS, ENGLISH, is_word
from pipeline.text.offsets import Edit
from pipeline.text.protected import protection
from schemas.codes import Signal

_LETTERS: Final = {
    "0": "o",
    "1": "il",
    "3": "e",
    "4": "a",
    "5": "s",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "i",
    "|": "il",
    "+": "t",
    "€": "e",
    "£": "l",
    "(": "c",
}
_TOKEN: Final = re.compile(r"(?<![\w@$!|+€£(*#])(?=[\w@$!|+€£(*#]*[A-Za-z])[\w@$!|+€£(*#]{2,24}(?![\w@$*#])")
_DISGUISED: Final = re.compile(r"[013457@$!|+€£(*#](?:[A-Za-z]|(?<=[A-Za-z0-9@$!|+€£][013457@$|+€£*#]))")
"""A sign before a letter, or behind one or another sign: written so that the first character of a match is a rare one."""
_TENS: Final = re.compile("10(?=[a-z])")
_LETTERS_MIN: Final = 2
"""Letters that a token with stars must show."""
_ORDINARY: Final = re.compile(r"[A-Za-z]\d+|[A-Za-z]{2}\d|\d+[A-Za-z]|\d{2,}[A-Za-z]{1,2}|[A-Za-z]{0,3}[$€£]\d+[A-Za-z]?")
"""Model numbers, quantities, decades and prices: A55, 4m, 90s, A$5."""
_WORD_MIN: Final = 3
_MASKED_MIN: Final = 4
"""Characters of a token with stars: shorter ones are products, a*s, or chords, C#m; all but s*x."""
_BY_SHAPE: Final[dict[tuple[str, int], tuple[str, ...]]] = {
    shape: tuple(word for word in ENGLISH if (word[0], len(word)) == shape)
    for shape in {(word[0], len(word)) for word in ENGLISH}
}
_READINGS_MAX: Final = 3
"""Characters with two readings in one token; more is no word."""


def leetspeak(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Tokens such as sh1t, $tupid or f*ck that read as a word of the lexicon; the punctuation around them stays."""
    words = list(_disguised_words(text)) if _DISGUISED.search(text) else []
    if words:
        is_protected = protection(text)
        yield from ((edit, Signal.LEETSPEAK) for edit in words if not is_protected(edit.begin, edit.end))


def _disguised_words(text: str) -> Iterator[Edit]:
    for found in _TOKEN.finditer(text):
        opened = found.group().lstrip("(*#")
        token = opened.rstrip("!|+(*#")
        if len(token) < _WORD_MIN or token.isalpha() or _ORDINARY.fullmatch(token):
            continue
        if word := _read(token):
            begin = found.end() - len(opened)
            yield Edit(begin, begin + len(token), word)


@lru_cache(maxsize=4096)
def _read(token: str) -> str | None:
    """The word that `token` disguises, or None; its capitals are kept where the lengths allow."""
    if "*" in token or "#" in token:
        return _unmask(token)
    for spelled in (token, _TENS.sub("io", token)):
        readings = [_LETTERS.get(character, character) for character in spelled]
        if sum(len(reading) > 1 for reading in readings) > _READINGS_MAX:
            return None
        for letters in product(*readings):
            word = "".join(letters)
            if word.isalpha() and word.isascii() and is_word(word):
                return word
    return None


def _unmask(token: str) -> str | None:
    """The word of the lexicon that fits a token with stars, such as sh*t or f*cking."""
    lower = token.lower()
    if sum(character.isalpha() for character in lower) < _LETTERS_MIN or (len(token) < _MASKED_MIN and lower != "s*x"):
        return None
    for ending in ENDINGS:
        stem = lower.removesuffix(ending) if lower.endswith(ending) else ""
        for word in _BY_SHAPE.get((stem[:1], len(stem)), ()):
            if all(given in {"*", "#", letter} for given, letter in zip(stem, word, strict=True)):
                return word + ending
    return None
