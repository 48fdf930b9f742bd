"""Characters that a reader does not see and a model stumbles over: removed, and stacks of marks thinned."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from pipeline.text.offsets import Edit
from schemas.codes import Signal

_HIDDEN: Final = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u2064\u206a-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u202a-\u202e\u2066-\u2069]+")
_MARKED: Final = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u0670\u06d6-\u06ed\u0e31-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]+"
)
_OVERLAYS: Final = frozenset("\u0334\u0335\u0336\u0337\u0338\u20d2\u20d3\u20e5\u20eb")
"""Marks that strike a letter through: no language spells with them."""
MARKS_MAX: Final = 2
"""Marks on one letter, as in Vietnamese and pointed Hebrew; more is decoration."""


def hidden(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Zero-width and otherwise invisible characters; a signal where one splits a word, none where emoji or scripts need it."""
    if text.isascii():
        return
    for found in _HIDDEN.finditer(text):
        begin, end = found.span()
        around = text[begin - 1 : begin] + text[end : end + 1]
        splits = len(around) == 2 and around.isalnum() and any(_latin_or_han(character) for character in around)  # noqa: PLR2004
        yield Edit(begin, end, ""), Signal.ZERO_WIDTH if splits else None


def _latin_or_han(character: str) -> bool:
    return character.isascii() or "\u3400" <= character <= "\u9fff"


def controls(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Control characters and bidirectional overrides; tabs and line ends stay."""
    for found in _CONTROL.finditer(text):
        yield Edit(*found.span(), ""), Signal.CONTROL


def marks(text: str) -> Iterator[tuple[Edit, Signal | None]]:
    """Stacks of combining marks, and letters struck through."""
    if text.isascii():
        return
    for found in _MARKED.finditer(text):
        stack = found.group()
        begin, end = found.span()
        struck = not _OVERLAYS.isdisjoint(stack)
        stacked = len(stack) > MARKS_MAX and all(unicodedata.combining(mark) for mark in stack[: MARKS_MAX + 1])
        if struck or stacked:
            yield Edit(begin, end, ""), Signal.COMBINING
