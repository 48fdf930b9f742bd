"""Tells results from dead letters, and both from everything else, by what a record holds."""

from pydantic import ValidationError

from pipeline.gateway.contract import Outcome
from schemas.dead_letters import DeadLetter
from schemas.results import InferenceResult


def outcome_of(value: bytes | None) -> Outcome | None:
    """The outcome that a record holds; None for what is neither a result nor the dead letter of a job."""
    for model, dead in ((InferenceResult, False), (DeadLetter, True)):
        try:
            message = model.model_validate_json(value or b"")
        except ValidationError:
            continue
        return Outcome(message.job_id, value or b"", dead=dead) if message.job_id else None
    return None
