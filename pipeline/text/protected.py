"""What is never folded: addresses, mentions and hexadecimal numbers mean something as they are spelled."""

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

_PROTECTED: Final = re.compile(
    r"https?://\S+|\bwww\.\S+|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{2,64}|(?<!\w)@\w+"
    r"|(?<!\w)(?:0x[0-9A-Fa-f]+|#(?:[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8}))\b"
)


def protection(text: str) -> Callable[[int, int], bool]:
    """Tells of any span of `text` whether it touches something protected; each answer costs a binary search."""
    spans = [found.span() for found in _PROTECTED.finditer(text)]

    def touches(begin: int, end: int) -> bool:
        before = bisect_left(spans, (end,)) - 1
        return before >= 0 and spans[before][1] > begin

    return touches
