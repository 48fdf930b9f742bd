"""Text as models read it: every disguise folded, every fold recorded, every character traceable to the original.

In: any text. Out: the folded text, the signals, the offsets. Ordinary text comes back as it is. Precision goes before recall:
what is not clearly a disguise stays, because the model has seen ordinary spelling most.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.text.compatibility import compatibility, full_width, look_alikes
from pipeline.text.invisible import controls, hidden, marks
from pipeline.text.leetspeak import leetspeak
from pipeline.text.offsets import Edit, Traced
from pipeline.text.spelling import chinese_words, han_spelled_out, repetition, spelled_out
from schemas.codes import Signal

_FOLDS: Final[tuple[Callable[[str], Iterator[tuple[Edit, Signal | None]]], ...]] = (
    controls,
    hidden,
    marks,
    compatibility,
    look_alikes,
    han_spelled_out,
    chinese_words,
    spelled_out,
    leetspeak,
    repetition,
)
ROUNDS_MAX: Final = 8
"""Folding one disguise may uncover another; a text that hides deeper than this is folded as far as that."""


@dataclass(frozen=True, slots=True)
class NormalisedText:
    """The folded `text`; `origins[i]` is the original index of its character i, None where nothing was folded."""

    text: str
    signals: tuple[Signal, ...]
    origins: Sequence[int] | None
    original_length: int

    def original_span(self, begin: int, end: int) -> tuple[int, int]:
        """The span of the original that `text[begin:end]` came from, characters folded away behind it included."""
        if self.origins is None:
            return begin, end
        if begin == end:
            return self._origin(begin), self._origin(begin)
        # A folded word has one origin: its first character.
        return self._origin(begin), self._origin(bisect_right(self.origins, self.origins[end - 1]))

    def _origin(self, index: int) -> int:
        assert self.origins is not None, "asked only for folded texts"
        return self.origins[index] if index < len(self.origins) else self.original_length


def normalise(original: str) -> NormalisedText:
    """Fold `original`; pure, linear in its length, and folding the outcome again changes nothing."""
    traced, signals = Traced(full_width(original)), set[Signal]()
    for _ in range(ROUNDS_MAX):
        folded = _fold(traced, signals)
        if folded is traced:
            break
        traced = folded
    return NormalisedText(traced.text, tuple(sorted(signals)), traced.origins, len(original))


def _fold(traced: Traced, signals: set[Signal]) -> Traced:
    for fold in _FOLDS:
        found = list(fold(traced.text))
        if found:
            traced = traced.edited(edit for edit, _ in found)
            signals.update(signal for _, signal in found if signal)
    return traced
