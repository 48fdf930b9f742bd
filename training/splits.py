"""Which split a text belongs to where its data set does not say: by its hash, so that adding a set moves no other text."""

import hashlib
from typing import Final, NamedTuple

from training.rows import Split

VALIDATION_SHARE, TEST_SHARE = 0.08, 0.12
_HASH_RANGE: Final = 1 << 32


class Shares(NamedTuple):
    """Shares of validation and test."""

    validation: float = VALIDATION_SHARE
    test: float = TEST_SHARE


MODERATION_SHARES: Final = Shares()
"""Those of the built-in sets."""


def split_of(text: str, shares: Shares = MODERATION_SHARES) -> Split:
    """The split of `text`, always the same."""
    place = int.from_bytes(hashlib.sha256(text.casefold().encode()).digest()[:4], "big") / _HASH_RANGE
    if place < shares.test:
        return "test"
    return "validation" if place < shares.test + shares.validation else "train"
