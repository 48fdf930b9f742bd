"""Has an analysis scored: the whole text and each of its spans is a job, all of them handed over together."""

from typing import Any

from pipeline.gateway.contract import Desk, Outcome, Refused
from pipeline.gateway.perspective.analysis import Analysis, Scores, response_to
from schemas.codes import Code
from schemas.dead_letters import DeadLetter
from schemas.ids import new_job_id
from schemas.jobs import TextJob


async def respond(analysis: Analysis, tenant: str, desk: Desk) -> dict[str, Any]:
    """The response to an analysis; raises what the desk raises, and Refused for a text that became a dead letter."""
    if not analysis.thresholds:
        return response_to(analysis, {}, [None] * len(analysis.spans))
    outcomes = await desk.ask(jobs_of(analysis, tenant))
    scores = {text: _scores(outcome) for text, outcome in zip(analysis.texts(), outcomes, strict=True)}
    whole = scores[analysis.text]
    if isinstance(whole, DeadLetter):
        raise Refused(whole)
    return response_to(analysis, whole, [_of_span(scores[text]) for text in analysis.span_texts()])


def jobs_of(analysis: Analysis, tenant: str) -> list[TextJob]:
    """A job for each text, the whole first. Those of spans name the whole's job in their metadata."""
    mark = {"do_not_store": True} if analysis.do_not_store else {}
    whole = new_job_id()
    return [
        TextJob(
            job_id=new_job_id() if at else whole,
            text=text,
            tenant=tenant,
            language=analysis.spoken.job_language,
            metadata={**mark, **({"span_of": whole} if at else {})},
        )
        for at, text in enumerate(analysis.texts())
    ]


def _scores(outcome: Outcome) -> Scores | DeadLetter:
    result = outcome.result()
    return result if isinstance(result, DeadLetter) else {label.label: label.score for label in result.labels}


def _of_span(scores: Scores | DeadLetter) -> Scores | None:
    """None for a span of invisible characters alone: the text around it has its scores all the same."""
    if isinstance(scores, DeadLetter):
        if scores.code is Code.EMPTY_TEXT:
            return None
        raise Refused(scores)
    return scores
