"""Faults for tests, from `LLMOS_TEST_FAULTS`: never set it in production.

    crash:TEXT   the process dies at once when it is to score a job whose text holds TEXT
    slow:MS      every chunk takes that much longer
    fail:ID      the model raises when a row holds the token ID
Several are joined by `;`.
"""

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from pipeline.outgoing import Outgoing
from schemas.work import WorkBatch
from workers.loop import Score
from workers.score import WorkRecord
from workers.session import Ids, Logits

Run = Callable[[Ids, Ids], Logits]

VARIABLE: Final = "LLMOS_TEST_FAULTS"


def with_faults(score: Score) -> Score:
    """`score` with the faults that the environment asks for; `score` itself where it asks for none."""
    asked = _asked()
    return _Faulty(score, asked) if asked else score


def with_failing_tokens(run: Run) -> Run:
    """`run` with the failures that the environment asks for; `run` itself where it asks for none."""
    tokens = {int(argument) for kind, argument in _asked() if kind == "fail"}

    def failing(ids: Ids, mask: Ids) -> Logits:
        if tokens.intersection(ids.ravel().tolist()):
            raise RuntimeError("a fault was asked for")
        return run(ids, mask)

    return failing if tokens else run


def _asked() -> list[tuple[str, str]]:
    parts = [fault.partition(":") for fault in os.environ.get(VARIABLE, "").split(";") if fault]
    return [(kind, argument) for kind, _, argument in parts]


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
