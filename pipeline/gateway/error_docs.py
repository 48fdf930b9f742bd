"""How the OpenAPI document describes errors under /v1: one schema, and a meaning and an example for each status.

Routes refer to the schema by name: of a model that a route names FastAPI would build a validator, for each status of each route.
"""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from pipeline.gateway.dialect import SERVER, envelope


class ErrorDetail(BaseModel):
    """What went wrong, in OpenAI's envelope."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(description="A sentence for a person.")
    type: str = Field(description="invalid_request_error, requests (too many), or server_error.")
    param: str | None = Field(description="The field or parameter at fault.")
    code: str | None = Field(description="For programs; of a dead letter its code.")
    job_ids: list[str] | None = Field(default=None, description="The jobs that it is about.")


class ErrorReply(BaseModel):
    """Every error under /v1."""

    model_config = ConfigDict(extra="forbid")

    error: ErrorDetail


_RETRY_AFTER: Final = {
    "retry-after": {"description": "Seconds, 1 to 60.", "schema": {"type": "integer", "minimum": 1, "maximum": 60}},
    "retry-after-ms": {"description": "The same, finer.", "schema": {"type": "integer", "minimum": 1}},
}
_NAME: Final = "Error"
_JOB_ID: Final = "019ab2c3-4d5e-7f60-8a9b-0c1d2e3f4a5b"
LATE: Final = envelope("No outcome in time for 1 of the texts; they are still worked on.", kind=SERVER, code="outcome_late")
LATE["error"]["job_ids"] = [_JOB_ID]
_MEANINGS: Final[dict[int, tuple[str, dict[str, Any]]]] = {
    400: (
        "The request is malformed; `param` names what.",
        envelope("text: text is empty or white space", param="text", code="empty_text"),
    ),
    401: (
        "No API key, or one that is unknown, revoked or expired.",
        envelope("Missing bearer or basic authentication in header"),
    ),
    403: (
        "The tenant of the key has no policy.",
        envelope("tenant: tenant 'acme' has no policy here", param="tenant", code="unknown_tenant"),
    ),
    404: ("There is no such thing, or it is another tenant's.", envelope("No such job: 17", param="id", code="not_found")),
    409: (
        "The Idempotency-Key was used with another body.",
        envelope("This Idempotency-Key was used with another body.", code="idempotency_key_reused"),
    ),
    413: ("The body is too large.", envelope("The request's body is larger than 4,194,304 bytes.")),
    415: (
        "The body is not JSON by its Content-Type.",
        envelope("The Content-Type must be application/json.", code="unsupported_media_type"),
    ),
    422: ("The text became a dead letter; `code` says why.", envelope("text: only white space", code="empty_text")),
    429: (
        "The key's limit is reached, or too much is under way.",
        envelope(
            "Rate limit reached on texts per minute: Limit 600. Please try again in 1.20s.",
            kind="requests",
            code="rate_limit_exceeded",
        ),
    ),
    503: (
        "Kafka or the disk is away, or the gateway is stopping.",
        envelope("The service is not available at the moment. Please try again.", kind=SERVER, code="unavailable"),
    ),
    504: ("No outcome in time. The jobs go on: ask for them by their ids.", LATE),
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route says of these statuses: `responses` of FastAPI."""
    return {status: _response(status) for status in statuses}


def _response(status: int) -> dict[str, Any]:
    meaning, example = _MEANINGS[status]
    response: dict[str, Any] = {
        "description": meaning,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_NAME}"}, "example": example}},
    }
    if status in {429, 503}:
        response["headers"] = _RETRY_AFTER
    return response


def error_schemas() -> dict[str, Any]:
    """The components that the responses refer to."""
    schema = ErrorReply.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), _NAME: schema}
