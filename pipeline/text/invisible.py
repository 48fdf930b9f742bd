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
_BASIC_PLANE_END: Final = "\uffff"
MARKS_MAX: Final = 2
"""In a stack, as in Vietnamese; more is decoration."""
MARKS_OF_ANY_SCRIPT_MAX: Final = 8
"""Marks in a row, as in pointed Hebrew with accents, or Tibetan. More would cost NFKC a time that grows with their square."""
_MARKS: Final = [
    character
    for character in map(chr, range(0x300, 0x1F000))
    if unicodedata.category(character) in {"Mn", "Me"} or unicodedata.combining(character) or character in "\uff9e\uff9f"
]
_RUN: Final = re.compile(f"[{''.join(character for character in _MARKS if character <= _BASIC_PLANE_END)}]+")
_RUN_IN_ANY_PLANE: Final = re.compile(f"[{''.join(_MARKS)}]+")
"""Ten times as slow, so only for texts that reach beyond the basic plane."""
_BEYOND: Final = re.compile("[\U00010000-\U0001efff]")
_STACK: Final = re.compile("[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f]+")
"""Marks for letters of Latin, Greek and Cyrillic."""
_OVERLAYS: Final = frozenset("\u0334\u0335\u0336\u0337\u0338\u20d2\u20d3\u20e5\u20eb")
"""Marks that strike a letter through: no language spells with them."""


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
    for run in (_RUN_IN_ANY_PLANE if _BEYOND.search(text) else _RUN).finditer(text):
        if len(run.group()) > MARKS_OF_ANY_SCRIPT_MAX:
            yield Edit(*run.span(), ""), Signal.COMBINING
            continue
        for stack in _STACK.finditer(text, *run.span()):
            if len(stack.group()) > MARKS_MAX or not _OVERLAYS.isdisjoint(stack.group()):
                yield Edit(*stack.span(), ""), Signal.COMBINING
