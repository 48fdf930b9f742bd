"""Edits of a text that remember where every character came from."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Edit(NamedTuple):
    """`text[begin:end]` becomes `replacement`."""

    begin: int
    end: int
    replacement: str


@dataclass(frozen=True, slots=True)
class Traced:
    """A text and, once it was edited, the original index of each character; None means: as it came."""

    text: str
    origins: Sequence[int] | None = None

    def edited(self, edits: Iterable[Edit]) -> "Traced":
        """This text after `edits`, which are in order and do not overlap; itself where there are none."""
        origins = range(len(self.text)) if self.origins is None else self.origins
        texts: list[str] = []
        places: list[int] = []
        at = 0
        for edit in edits:
            texts += self.text[at : edit.begin], edit.replacement
            places += origins[at : edit.begin]
            places += _origins_of(edit, origins)
            at = edit.end
        if not texts:
            return self
        texts.append(self.text[at:])
        places += origins[at:]
        return Traced("".join(texts), places)


def _origins_of(edit: Edit, origins: Sequence[int]) -> Sequence[int]:
    if len(edit.replacement) == edit.end - edit.begin:
        return origins[edit.begin : edit.end]
    return [origins[edit.begin]] * len(edit.replacement)
