"""How everything under /v1 says that something went wrong: OpenAI's envelope, and the texts that its clients know.

`{"error": {"message", "type", "param", "code"}}`, all four always there. Own facts, such as the ids of late jobs, stand beside
them: clients ignore what they do not know. Nothing here ever shows a traceback or the text of a job.
"""

import math
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request

from pipeline.gateway.contract import (
    GatewayError,
    Late,
    Overloaded,
    RateLimited,
    Refused,
    Unauthenticated,
    Unavailable,
)
from schemas.codes import Code
from schemas.errors import MessageError

INVALID: Final = "invalid_request_error"
SERVER: Final = "server_error"
RETRY_AFTER_MAX_S: Final = 60
"""Old clients ignore a longer Retry-After, and new ones stop trying where it is more than 120."""
UNAVAILABLE_RETRY_S: Final = 5
"""Kafka finds a new leader in about so long."""
ALLOWED: Final = frozenset({400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504})
"""What an error may be by contract; anything else that a library raises becomes 400."""


class ApiError(GatewayError):
    """A request that ends in `status`, said in OpenAI's words; `headers` go with it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        kind: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.kind = kind
        self.headers = dict(headers or {})


def envelope(message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The body of an error."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A reply with `body` as compact JSON."""
    return Response(to_json(body), status, headers=headers, media_type="application/json")


def openai_error(error: Exception) -> Response:
    """The reply that tells a client of `error`; for what nobody foresaw it is 500 without a word on the cause."""
    for kind, render in _RENDERERS:
        if isinstance(error, kind):
            return render(error)
    return json_reply(envelope("The server had an error while processing your request.", kind=SERVER), 500)


def retry_headers(seconds: float) -> dict[str, str]:
    """Retry-After in whole seconds, 1 to 60, and in milliseconds, which clients look at first."""
    wait_s = min(max(seconds, 0.001), RETRY_AFTER_MAX_S)
    return {"retry-after": str(math.ceil(wait_s)), "retry-after-ms": str(math.ceil(wait_s * 1000))}


def _api_error(error: Any) -> Response:  # noqa: ANN401 (each renderer knows the type that its row names)
    body = envelope(str(error), kind=error.kind, param=error.param, code=error.code)
    return json_reply(body, error.status, error.headers)


def _unauthenticated(error: Any) -> Response:  # noqa: ANN401
    if error.missing:
        body = envelope("Missing bearer or basic authentication in header")
    else:
        body = envelope("Incorrect API key provided: it is unknown, revoked or expired.", code="invalid_api_key")
    return json_reply(body, 401, {"www-authenticate": "Bearer"})


def _rate_limited(error: Any) -> Response:  # noqa: ANN401
    message = (
        f"Rate limit reached on texts per minute: Limit {error.limit}. Please try again in {max(error.retry_after_s, 0.01):.2f}s."
    )
    body = envelope(message, kind="requests", code="rate_limit_exceeded")
    return json_reply(body, 429, retry_headers(error.retry_after_s))


def _overloaded(error: Any) -> Response:  # noqa: ANN401
    message = f"Too much is under way. Please try again in {max(error.retry_after_s, 0.01):.2f}s."
    body = envelope(message, kind="requests", code="overloaded")
    return json_reply(body, 429, retry_headers(error.retry_after_s))


def _unavailable(_error: Any) -> Response:  # noqa: ANN401 (its text may name addresses inside the house)
    body = envelope("The service is not available at the moment. Please try again.", kind=SERVER, code="unavailable")
    return json_reply(body, 503, retry_headers(UNAVAILABLE_RETRY_S))


def late_body(error: Late) -> dict[str, Any]:
    """The body of a 504: which jobs have no outcome yet."""
    body = envelope(str(error)[:1].upper() + str(error)[1:] + ".", kind=SERVER, code="outcome_late")
    body["error"]["job_ids"] = list(error.job_ids)
    return body


def _late(error: Any) -> Response:  # noqa: ANN401
    return json_reply(late_body(error), 504)


def _refused(error: Any) -> Response:  # noqa: ANN401
    letter = error.letter
    body = envelope(letter.reason, code=str(letter.code))
    if letter.job_id is not None:
        body["error"]["job_ids"] = [letter.job_id]
    return json_reply(body, 422)


def _message_error(error: Any) -> Response:  # noqa: ANN401
    status = 403 if error.code is Code.UNKNOWN_TENANT else 400
    return json_reply(envelope(error.reason, param=error.path or None, code=str(error.code)), status)


def _invalid(error: Any) -> Response:  # noqa: ANN401
    first = error.errors()[0]
    place = ".".join(str(step) for step in first["loc"][1:]) or None
    message = f"{place}: {first['msg']}" if place else str(first["msg"])
    return json_reply(envelope(message, param=place, code="invalid_value"), 400)


def _http_exception(error: Any) -> Response:  # noqa: ANN401
    status = error.status_code if error.status_code in ALLOWED else 400
    message = error.detail if isinstance(error.detail, str) else HTTPStatus(status).phrase
    return json_reply(envelope(message, kind=SERVER if status >= 500 else INVALID), status, error.headers)  # noqa: PLR2004


_RENDERERS: Final[tuple[tuple[type[Exception], Callable[[Any], Response]], ...]] = (
    (ApiError, _api_error),
    (Unauthenticated, _unauthenticated),
    (RateLimited, _rate_limited),
    (Overloaded, _overloaded),
    (Unavailable, _unavailable),
    (Late, _late),
    (Refused, _refused),
    (MessageError, _message_error),
    (RequestValidationError, _invalid),
    (HTTPException, _http_exception),
)


def bearer_key(request: Request) -> str | None:
    """The API key that a request shows in its Authorization header."""
    return bearer_token(request.headers.get("authorization", ""))


def bearer_token(authorization: str) -> str | None:
    """The token in the value of an Authorization header, if it is of that kind."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None
