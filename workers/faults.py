"""Faults for tests, from `LLMOS_TEST_FAULTS`: never set it in production.

    crash:TEXT   the process dies at once when it is to score a job whose text holds TEXT
    slow:MS      every chunk takes that much longer
Several are joined by `;`.
"""

import os
import time
from collections.abc import Sequence
from typing import Final

from pipeline.outgoing import Outgoing
from schemas.work import WorkBatch
from workers.loop import Score
from workers.score import WorkRecord

VARIABLE: Final = "LLMOS_TEST_FAULTS"


def with_faults(score: Score) -> Score:
    """`score` with the faults that the environment asks for; `score` itself where it asks for none."""
    asked = [fault.partition(":")[::2] for fault in os.environ.get(VARIABLE, "").split(";") if fault]
    return _Faulty(score, asked) if asked else score


class _Faulty:
    def __init__(self, score: Score, faults: Sequence[tuple[str, str]]) -> None:
        self._score = score
        self._faults = faults

    def __call__(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        for kind, argument in self._faults:
            if kind == "slow":
                time.sleep(int(argument) / 1000)
            if kind == "crash" and any(argument in text for text in _texts(records)):
                os._exit(9)
        return self._score(records)


def _texts(records: Sequence[WorkRecord]) -> list[str]:
    batches = [record.batch for record in records if isinstance(record.batch, WorkBatch)]
    return [item.job.text for batch in batches for item in batch.description.items]
