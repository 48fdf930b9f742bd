"""One fold of the normaliser by itself."""

from collections.abc import Callable, Iterator

from pipeline.text.offsets import Edit, Traced
from schemas.codes import Signal

Fold = Callable[[str], Iterator[tuple[Edit, Signal | None]]]


def apply(fold: Fold, text: str) -> tuple[str, set[Signal]]:
    """The text after the fold, and its signals."""
    found = list(fold(text))
    return Traced(text).edited(edit for edit, _ in found).text, {signal for _, signal in found if signal}
