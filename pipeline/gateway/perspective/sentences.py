"""Cuts a text into sentences, English and Chinese, and counts places as the original does. Pure.

A sentence ends behind its closing marks and quotes, or at a line break. A point ends none after an abbreviation or an initial.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

Span = tuple[int, int]
"""Begin and end, the end not included."""

_BREAKS: Final = r"\r\n\u2028\u2029"
_WIDE: Final = "。\uff01\uff1f｡"  # the full-width ! and ? among them
_CLOSING: Final = r"\"'”\u2019」』\uff09)\]】》»"  # the single quote and the full-width bracket among them
_RUN: Final = re.compile(rf"[.!?…{_WIDE}]++[{_CLOSING}]*+|[{_BREAKS}]++")
"""A run of closing marks with the quotes behind it, or of line breaks."""
_FULL: Final = re.compile(f"[{_WIDE}{_BREAKS}]")
"""Marks that end a sentence whatever follows."""
_NEXT: Final = re.compile(r"\s+(\S)")
_LAST_WORD: Final = re.compile(r"[\w.]+\Z")
_LOOK_BACK: Final = 16
_TITLES: Final = frozenset(
    ("mr", "mrs", "ms", "dr", "prof", "st", "sgt", "capt", "col", "gen", "gov", "rev", "vs", "e.g", "i.e", "cf", "approx", "fig")
)
"""Something always follows these."""
_ABBREVIATIONS: Final = frozenset(
    ("etc", "al", "inc", "ltd", "jr", "sr", "dept", "est", "a.m", "p.m", "u.s", "u.k", "ph.d"),
)
"""The sentence goes on behind these unless a capital follows."""
_NUMBERED: Final = frozenset(("no", "nr", "vol", "pp", "p", "ch", "sec"))
"""Abbreviations only where a number follows."""


def sentences(text: str, count_max: int) -> list[Span]:
    """The sentences of `text` in order, blanks around them left out; at most `count_max`.

    Where there are more, neighbours share a span: all that is no blank lies in a span.
    """
    spans = [span for span in _pieces(text) if span[0] < span[1]]
    if len(spans) <= count_max:
        return spans
    each = -(-len(spans) // count_max)
    groups = [spans[at : at + each] for at in range(0, len(spans), each)]
    return [(group[0][0], group[-1][1]) for group in groups]


def utf16_spans(text: str, spans: Sequence[Span]) -> list[Span]:
    """`spans`, which do not overlap and are in order, counted in UTF-16 code units: what lies outside the BMP counts two."""
    counted, at, units = [], 0, 0
    for begin, end in spans:
        first = units + utf16_length(text[at:begin])
        units = first + utf16_length(text[begin:end])
        at = end
        counted.append((first, units))
    return counted


def utf16_length(text: str) -> int:
    """UTF-16 code units of `text`."""
    return len(text) + sum(letter > "\uffff" for letter in text)


def _pieces(text: str) -> Iterator[Span]:
    begin = 0
    for run in _RUN.finditer(text):
        if _ends_sentence(text, run):
            yield _stripped(text, begin, run.end())
            begin = run.end()
    yield _stripped(text, begin, len(text))


def _stripped(text: str, begin: int, end: int) -> Span:
    piece = text[begin:end]
    begin += len(piece) - len(piece.lstrip())
    return begin, max(begin, end - (len(piece) - len(piece.rstrip())))


def _ends_sentence(text: str, run: re.Match[str]) -> bool:
    marks, end = run[0], run.end()
    if _FULL.search(marks):
        return True
    following = _NEXT.match(text, end)
    if following is None:
        return end == len(text) or ("\u3400" <= text[end] <= "\u9fff" and marks[-1] in "!?")
    if marks == ".":
        return not _is_abbreviated(text[max(run.start() - _LOOK_BACK, 0) : run.start()], following[1])
    # An ellipsis, or a mark within quotes, ends nothing where the next word begins small.
    return marks[-1] in "!?" or not following[1].islower()


def _is_abbreviated(before: str, following: str) -> bool:
    last = _LAST_WORD.search(before)
    word = last[0].lower() if last else ""
    if word in _NUMBERED:
        return following.isdigit()
    if word in _ABBREVIATIONS:
        return not following.isupper()
    return word in _TITLES or (len(word) == 1 and word != "i" and before[-1].isupper())
