"""Errors, letter by letter: clients search these texts."""

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from pipeline.gateway.contract import Late, Overloaded, RateLimited, Refused, Unauthenticated, Unavailable
from pipeline.gateway.perspective import errors
from pipeline.gateway.perspective.errors import google_error
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.jobs import TextJob
from tests.support.desk import dead_letter

JOB = TextJob(text="x", job_id="j")


def told(error: Exception) -> dict[str, Any]:
    """The error object of the response, whose status is its code."""
    response = google_error(error)
    body: dict[str, Any] = json.loads(response.body)["error"]
    assert response.status_code == body["code"]
    assert response.headers["content-type"] == "application/json; charset=UTF-8"
    return body


def test_empty_comments_are_refused_with_the_whole_known_body() -> None:
    assert google_error(errors.comment_empty()).body.decode() == (
        "{\n"
        '  "error": {\n'
        '    "code": 400,\n'
        '    "message": "Comment must be non-empty.",\n'
        '    "status": "INVALID_ARGUMENT",\n'
        '    "details": [\n'
        "      {\n"
        '        "@type": "type.googleapis.com/google.commentanalyzer.v1alpha1.Error",\n'
        '        "errorType": "COMMENT_EMPTY"\n'
        "      }\n"
        "    ]\n"
        "  }\n"
        "}\n"
    )


def test_a_bad_key_is_400_and_no_key_403() -> None:
    assert told(Unauthenticated(missing=False)) == {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
                "metadata": {"service": "commentanalyzer.googleapis.com"},
            }
        ],
    }
    missing = told(Unauthenticated(missing=True))
    assert (missing["code"], missing["status"]) == (403, "PERMISSION_DENIED")
    assert missing["message"].startswith("Method doesn't allow unregistered callers (callers without established identity).")


def test_a_used_up_limit_is_googles_quota_error() -> None:
    error = RateLimited(limit=60, retry_after_s=2.5)
    body = told(error)

    assert (body["code"], body["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert body["message"] == (
        "Quota exceeded for quota metric 'Analysis requests (AnalyzeComment)' and limit 'Analysis requests (AnalyzeComment) "
        "per minute' of service 'commentanalyzer.googleapis.com' for consumer 'project_number:0'."
    )
    info, help_ = body["details"]
    assert info["reason"] == "RATE_LIMIT_EXCEEDED"
    assert info["metadata"]["quota_limit"] == "AnalyzeRequestsPerMinutePerProject"
    assert info["metadata"]["quota_limit_value"] == "60"
    assert help_["links"][0].keys() == {"description", "url"}
    assert google_error(error).headers["retry-after"] == "3"


@pytest.mark.parametrize(
    ("error", "code", "status", "message"),
    [
        (Overloaded(1.2), 429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        (Unavailable("kafka at 10.0.0.1"), 503, "UNAVAILABLE", "The service is currently unavailable."),
        (Late(["a", "b"]), 504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."),
        (HTTPException(404), 404, "NOT_FOUND", "Method not found."),
        (HTTPException(405), 405, "UNIMPLEMENTED", "Method Not Allowed"),
        (HTTPException(413, "The body is too large."), 413, "INVALID_ARGUMENT", "The body is too large."),
        (RequestValidationError([]), 400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        (MessageError(Code.UNKNOWN_TENANT, "no such tenant"), 403, "PERMISSION_DENIED", "no such tenant"),
        (MessageError(Code.INVALID_FIELD, "no such thing"), 400, "INVALID_ARGUMENT", "no such thing"),
        (RuntimeError("a secret"), 500, "INTERNAL", "Internal error encountered."),
        (Refused(dead_letter(JOB, Code.EMPTY_TEXT)), 400, "INVALID_ARGUMENT", "Comment must be non-empty."),
        (Refused(dead_letter(JOB, Code.TOO_MANY_TOKENS)), 400, "INVALID_ARGUMENT", "Comment text too long."),
        (Refused(dead_letter(JOB, Code.INFERENCE_FAILED)), 422, "INVALID_ARGUMENT", "nothing is left to score"),
    ],
)
def test_every_end_has_its_envelope(error: Exception, code: int, status: str, message: str) -> None:
    body = told(error)
    assert (body["code"], body["status"], body["message"]) == (code, status, message)
    assert "secret" not in str(body)
    assert "10.0.0.1" not in str(body)


def test_a_dead_letter_tells_its_code_and_a_late_answer_its_jobs() -> None:
    refused = told(Refused(dead_letter(JOB, Code.WORKER_CRASHED)))["details"][0]
    assert (refused["reason"], refused["metadata"]) == (
        "WORKER_CRASHED",
        {"code": "worker_crashed", "stage": "preprocess", "job": "j"},
    )
    assert told(Late(["a", "b"]))["details"][0]["metadata"] == {"jobs": "a,b"}


@pytest.mark.parametrize(("error", "seconds"), [(Overloaded(0), "1"), (Overloaded(3.2), "4"), (Unavailable(""), "5")])
def test_who_may_try_again_is_told_when(error: Exception, seconds: str) -> None:
    assert google_error(error).headers["retry-after"] == seconds


def test_headers_of_the_front_stay() -> None:
    assert google_error(HTTPException(405, headers={"Allow": "POST"})).headers["allow"] == "POST"
