"""Placeholder until the real one lands."""
import unicodedata
from dataclasses import dataclass
from schemas.codes import Signal


@dataclass(frozen=True, slots=True)
class NormalisedText:
    text: str
    signals: tuple[Signal, ...] = ()


def normalise(original: str) -> NormalisedText:
    return NormalisedText(" ".join(unicodedata.normalize("NFKC", original).split()))
