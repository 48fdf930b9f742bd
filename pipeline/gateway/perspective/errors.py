"""Errors in Google's envelope, letter by letter: much client code searches their texts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from pipeline.gateway.contract import GatewayError, Late, Overloaded, RateLimited, Refused, Unauthenticated, Unavailable
from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.rendering import JSON_TYPE, to_json
from schemas.codes import Code
from schemas.errors import MessageError

SERVICE: Final = "commentanalyzer.googleapis.com"
_TYPE: Final = "type.googleapis.com/"
_QUOTA: Final = "Analysis requests (AnalyzeComment)"
_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc's name of an HTTP status."""

Detail = Mapping[str, Any]


class CommentError(GatewayError):
    """What the Comment Analyzer, or Google's front before it, refuses, in its words."""

    def __init__(self, message: str, *details: Detail, code: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        self.code = code


def comment_error(message: str, error_type: str, **more: object) -> CommentError:
    """A refusal by the Comment Analyzer itself."""
    return CommentError(message, {"@type": f"{_TYPE}google.commentanalyzer.v1alpha1.Error", "errorType": error_type, **more})


def invalid_request(message: str) -> CommentError:
    """A refusal by the Comment Analyzer that has no type of its own."""
    return comment_error(message, "INVALID_REQUEST")


def bad_request(message: str, violations: Sequence[Mapping[str, str]]) -> CommentError:
    """A refusal by Google's front, which reads the JSON."""
    return CommentError(message, {"@type": f"{_TYPE}google.rpc.BadRequest", "fieldViolations": list(violations)})


def comment_empty() -> CommentError:
    """There is nothing to score."""
    return comment_error("Comment must be non-empty.", "COMMENT_EMPTY")


def comment_too_long() -> CommentError:
    """There is too much to score."""
    return comment_error("Comment text too long.", "COMMENT_TOO_LONG")


def google_error(error: Exception) -> Response:
    """`error` as Google would answer it. What nobody foresaw is a 500 without a word on the cause."""
    told = _told(error)
    body: dict[str, object] = {"code": told.code, "message": told.message, "status": _STATUSES.get(told.code, "INTERNAL")}
    if told.details:
        body["details"] = list(told.details)
    return Response(to_json({"error": body}), told.code, told.headers, media_type=JSON_TYPE)


@dataclass(frozen=True, slots=True)
class _Told:
    code: int
    message: str
    details: Sequence[Detail] = ()
    headers: dict[str, str] = field(default_factory=dict)


def _told(error: Exception) -> _Told:
    tell = next((tell for kind, tell in _TELLERS if isinstance(error, kind)), None)
    return tell(error) if tell else _Told(500, choices.INTERNAL)


def _comment_error(error: CommentError) -> _Told:
    return _Told(error.code, error.message, error.details)


def _unauthenticated(error: Unauthenticated) -> _Told:
    if error.missing:
        return _Told(403, choices.NO_KEY)
    info = _info("API_KEY_INVALID", "googleapis.com", {"service": SERVICE})
    return _Told(400, "API key not valid. Please pass a valid API key.", [info])


def _rate_limited(error: RateLimited) -> _Told:
    message = (
        f"Quota exceeded for quota metric '{_QUOTA}' and limit '{_QUOTA} per minute' "
        f"of service '{SERVICE}' for consumer '{choices.CONSUMER}'."
    )
    metadata = {
        "quota_limit": "AnalyzeRequestsPerMinutePerProject",
        "quota_limit_value": str(error.limit),
        "quota_location": "global",
        "quota_metric": "CommentAnalyzerService/analyze_requests",
        "consumer": choices.CONSUMER,
        "service": SERVICE,
    }
    details = [
        _info("RATE_LIMIT_EXCEEDED", "googleapis.com", metadata),
        {"@type": f"{_TYPE}google.rpc.Help", "links": [choices.QUOTA_HELP]},
    ]
    return _Told(429, message, details, _retry_after(error.retry_after_s))


def _overloaded(error: Overloaded) -> _Told:
    info = {"@type": f"{_TYPE}google.rpc.RetryInfo", "retryDelay": f"{math.ceil(error.retry_after_s)}s"}
    return _Told(429, choices.OVERLOADED, [info], _retry_after(error.retry_after_s))


def _unavailable(_error: Unavailable) -> _Told:
    return _Told(503, choices.UNAVAILABLE, headers=_retry_after(choices.UNAVAILABLE_RETRY_S))


def _late(error: Late) -> _Told:
    return _Told(504, choices.LATE, [_info("LATE", "llmos", {"jobs": ",".join(error.job_ids)})])


def _refused(error: Refused) -> _Told:
    letter = error.letter
    if letter.code is Code.EMPTY_TEXT:
        return _told(comment_empty())
    if letter.code in (Code.TEXT_TOO_LONG, Code.TOO_MANY_TOKENS):
        return _told(comment_too_long())
    info = _info(letter.code.upper(), "llmos", {"code": letter.code, "stage": letter.stage, "job": letter.job_id or ""})
    return _Told(422, letter.reason, [info])


def _message_error(error: MessageError) -> _Told:
    return _Told(403 if error.code is Code.UNKNOWN_TENANT else 400, error.reason, [_info(error.code.upper(), "llmos", {})])


def _http(error: HTTPException) -> _Told:
    message = choices.NO_METHOD if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
    return _Told(error.status_code, message, headers=dict(error.headers or {}))


def _invalid(_error: RequestValidationError) -> _Told:
    return _Told(400, choices.INVALID_ARGUMENT)


def _info(reason: str, domain: str, metadata: Mapping[str, str]) -> Detail:
    return {"@type": f"{_TYPE}google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata}


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


_TELLERS: Final[tuple[tuple[type[Exception], Callable[[Any], _Told]], ...]] = (
    (CommentError, _comment_error),
    (Unauthenticated, _unauthenticated),
    (RateLimited, _rate_limited),
    (Overloaded, _overloaded),
    (Unavailable, _unavailable),
    (Late, _late),
    (Refused, _refused),
    (MessageError, _message_error),
    (HTTPException, _http),
    (RequestValidationError, _invalid),
)
