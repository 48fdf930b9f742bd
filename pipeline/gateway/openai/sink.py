"""Takes the outcomes of batch jobs off the reply topic and keeps them: a job's id says which text of which batch it was."""

import logging
import re
from collections.abc import Callable, Collection, Sequence
from typing import Final

from pydantic import ValidationError
from pydantic_core import to_json

from pipeline.gateway.contract import Outcome
from pipeline.gateway.dialect import SERVER, envelope
from pipeline.gateway.openai.categories import Scores
from pipeline.gateway.openai.text_store import Answer, TextStore
from schemas.dead_letters import DeadLetter

_log = logging.getLogger(__name__)
_JOB_ID: Final = re.compile(r"(batch_[0-9a-f]{32})-(\d{1,9})-(\d{1,9})")


def job_id(batch_id: str, line: int, index: int) -> str:
    """The id of the job for the text at `index` of a line; the same whenever it is handed over."""
    return f"{batch_id}-{line}-{index}"


class BatchSink:
    """`on_taken` gets the ids of the batches that have new outcomes, in the thread that `take` is called in."""

    def __init__(self, texts: TextStore, on_taken: Callable[[Collection[str]], None]) -> None:
        self._texts = texts
        self._on_taken = on_taken

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """Keep those of batches, in one transaction."""
        answers = [answer for outcome in outcomes if (answer := answer_of(outcome))]
        if answers:
            self._texts.answer(answers)
            self._on_taken({batch for batch, *_ in answers})

    def waiting(self) -> Sequence[str]:
        """Some ids of jobs that were handed over and have no outcome, the oldest first."""
        return [job_id(*place) for place in self._texts.waiting()]


def answer_of(outcome: Outcome) -> Answer | None:
    """What to keep of an outcome; None where it belongs to no batch."""
    found = _JOB_ID.fullmatch(outcome.job_id)
    if not found:
        return None
    place = (found[1], int(found[2]), int(found[3]))
    try:
        result = outcome.result()
    except ValidationError:
        # A newer worker may write what we cannot read: better one line with an error than a gateway that stops over it.
        _log.warning("the outcome of %s cannot be read", outcome.job_id)
        return (*place, 500, to_json(envelope("The outcome could not be read.", kind=SERVER)).decode())
    if isinstance(result, DeadLetter):
        return (*place, 422, to_json((result.code, result.reason)).decode())
    return (*place, 200, Scores.of(result).dump())
