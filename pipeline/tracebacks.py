"""What a log may tell of an error: its type and where it was raised; its message only where that is known to quote no text.

Libraries quote what they were given: `invalid literal for int() with base 10: 'a text'`. So an unknown error tells but its type.
"""

import traceback
from collections.abc import Iterator
from typing import Final

from schemas.errors import LLMOSError, MessageError

_PLAIN: Final = ("kafka.", "aiokafka.", "sqlite3", "onnxruntime.", "pipeline.gateway.contract")
"""Modules whose errors tell of brokers, disks, devices and limits, not of texts."""
_CHAIN_MAX: Final = 10
"""Errors of a chain that are told, the last ones: a loop that tries again may build long ones."""


def said(error: BaseException) -> str:
    """What may be told of `error` on one line."""
    kind = type(error).__name__
    if isinstance(error, OSError | LLMOSError) or type(error).__module__.startswith(_PLAIN):
        return kind if isinstance(error, MessageError) or not str(error) else f"{kind}: {error}"  # a sender names its fields
    return f"{kind}: its message is not logged, since it may quote a text; LLMOS_LOG_TEXTS=true logs it"


def traceback_of(error: BaseException) -> str:
    """Where `error` and those that led to it were raised, with what may be told of each; shows lines of code, no values."""
    parts = []
    for one in reversed(list(_chain(error))):
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{said(one)}")
    return "\n\nwhich led to:\n\n".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    for _ in range(_CHAIN_MAX):
        if found is None:
            return
        yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)


class Told:
    """Stands for an error among the arguments of a log line."""

    def __init__(self, error: BaseException) -> None:
        self._said = said(error)

    def __str__(self) -> str:
        return self._said

    __repr__ = __str__
