"""What the OpenAPI document says of the replies of the own API: their models, headers and examples."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline.gateway.error_docs import LATE, error_responses
from pipeline.gateway.jobs import examples
from pipeline.gateway.jobs.replies import EventList, Job, JobList, LateReply
from schemas.bundles import Sha256
from schemas.codes import Task
from schemas.policies import Threshold

Responses = dict[int | str, dict[str, Any]]


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ModelLabel(_Reply):
    """A label that a model scores."""

    name: str
    description: str
    grade: str = Field(description="How far the training data carries it: strong, fair, weak, experimental.")


class Model(_Reply):
    """A model that serves texts here: OpenAI's fields, and ours."""

    id: str
    object: str = Field(pattern="^model$")
    created: int = Field(description="Unix seconds.")
    owned_by: str
    release: str
    task: Task
    languages: list[str]
    labels: list[ModelLabel]


class ModelList(_Reply):
    """All of them."""

    object: str = Field(pattern="^list$")
    data: list[Model]


class PolicySummary(_Reply):
    """What decides the verdicts of a tenant: from which calibrated score a label means review, and block."""

    object: str = Field(pattern="^policy$")
    name: str
    release: str
    sha256: Sha256
    labels: dict[str, Threshold]
    languages: dict[str, dict[str, Threshold]] = Field(description="What replaces `labels` for texts in a language.")


class PolicyList(_Reply):
    """The caller's own, and no other."""

    object: str = Field(pattern="^list$")
    data: list[PolicySummary]


class Health(_Reply):
    """How the gateway is."""

    status: str
    because: list[str] = Field(default=[], description="Why it is not ready, a sentence each.")


def response(description: str, model: Any, *given: object, headers: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: ANN401 (what FastAPI takes)
    """One response, with its examples."""
    named = {str(number): {"value": example} for number, example in enumerate(given, 1)}
    found: dict[str, Any] = {"model": model, "description": description}
    if named:
        found["content"] = {"application/json": {"examples": named}}
    if headers:
        found["headers"] = headers
    return found


_LOCATION: Final = {"location": {"description": "Where a single job is.", "schema": {"type": "string"}}}

CREATE_RESPONSES: Final[Responses] = {
    200: response("The outcomes: a job for a job, a list for a list.", Job | JobList, examples.DONE, examples.DONE_LIST),
    202: response(
        "The jobs are safe and will be worked on.",
        Job | JobList,
        examples.PENDING,
        examples.PENDING_LIST,
        headers=_LOCATION,
    ),
    **error_responses(400, 401, 403, 409, 413, 415, 422, 429, 503),
    504: response("Some outcomes are late; the jobs go on.", LateReply, {**LATE, **examples.PENDING_LIST}),
}
JOB_RESPONSES: Final[Responses] = {
    200: response("The job.", Job, examples.DONE, examples.PENDING, examples.DEAD),
    **error_responses(401, 404, 503),
}
EVENTS_RESPONSES: Final[Responses] = {
    200: {
        "model": EventList,
        "description": "A page of outcomes, or the stream.",
        "content": {
            "application/json": {"example": examples.EVENTS},
            "text/event-stream": {"schema": {"type": "string"}, "example": examples.STREAM},
        },
    },
    **error_responses(400, 401, 429, 503),
}
MODELS_RESPONSES: Final[Responses] = {
    200: response("The models.", ModelList, {"object": "list", "data": [examples.MODEL]}),
    **error_responses(401),
}
MODEL_RESPONSES: Final[Responses] = {200: response("The model.", Model, examples.MODEL), **error_responses(401, 404)}
POLICIES_RESPONSES: Final[Responses] = {
    200: response("Your policy.", PolicyList, examples.POLICIES),
    **error_responses(401, 403),
}
LIVE_RESPONSES: Final[Responses] = {200: response("The process answers.", Health, {"status": "ok"})}
READY_RESPONSES: Final[Responses] = {
    200: response("It takes requests, and canaries get the right answers.", Health, {"status": "ready"}),
    503: response(
        "It is starting or stopping, or canaries do not get the right answers in time.",
        Health,
        {"status": "not ready", "because": ["the known-bad canary had no answer within 15 s"]},
    ),
}
