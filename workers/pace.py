"""How far the chunks of a worker keep from each other where few records come.

A chunk of one record costs nearly what a chunk of hundreds does: a fetch, a mark, a delivery, a commit, and their requests at
the broker. So what comes just after a few records waits for company; a lone record on an idle system goes at once, and a
backlog never waits (docs/decisions/0006-few-records-wait.md).
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

_FEW_PARTS: Final = 8
"""No more than this part of a chunk is few."""
_LOOK_S: Final = 0.5
"""How soon a stopping process notices it while records gather."""


class Pace:
    """A distance of `linger_s` between chunks of few records; told of every fetch and of every chunk that begins."""

    def __init__(self, linger_s: float, *, chunk_tokens: int, fetch_records: int) -> None:
        self.few = False
        self._linger_s = linger_s
        self._few_tokens = chunk_tokens // _FEW_PARTS
        self._fetch_records = fetch_records
        self._began = -math.inf

    def fetched(self, records: Sequence[Any]) -> None:
        """What one fetch brought: `few` if it is not much of a chunk, and if a fetch could have brought more."""
        self.few = 0 < len(records) < self._fetch_records and sum(map(tokens, records)) <= self._few_tokens

    def begin(self) -> None:
        """A chunk begins now."""
        self._began = time.monotonic()

    def wait(self, is_stopping: Callable[[], bool]) -> None:
        """Return when the last chunk is old enough, or, about at once, when the process is to stop."""
        while not is_stopping() and (wait_s := self._began + self._linger_s - time.monotonic()) > 0:
            time.sleep(min(wait_s, _LOOK_S))


def tokens(record: Any) -> int:  # noqa: ANN401 (kafka-python is untyped)
    """About how many a consumer record holds: two bytes a token id, and descriptions count as their like."""
    return len(record.value or b"") // 2
