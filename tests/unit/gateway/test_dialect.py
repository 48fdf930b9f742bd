"""OpenAI's envelope: for each thing that can go wrong the status, code and headers that clients act on, and nothing else."""

import json
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
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
from pipeline.gateway.dialect import ApiError, bearer_key, openai_error
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.jobs import TextJob
from tests.support.desk import dead_letter


def told(error: Exception) -> tuple[Response, dict[str, Any]]:
    """The reply and what stands in its envelope."""
    reply = openai_error(error)
    body = json.loads(bytes(reply.body))
    assert set(body) == {"error"}
    return reply, body["error"]


CASES = [
    (Unauthenticated(missing=True), 401, "invalid_request_error", None),
    (Unauthenticated(missing=False), 401, "invalid_request_error", "invalid_api_key"),
    (RateLimited(limit=60, retry_after_s=3.66), 429, "requests", "rate_limit_exceeded"),
    (Overloaded(2), 429, "requests", "overloaded"),
    (Unavailable("10.0.0.7:9092 is away"), 503, "server_error", "unavailable"),
    (Late(["a", "b"]), 504, "server_error", "outcome_late"),
    (Refused(dead_letter(TextJob(job_id="a", text="x"), Code.TOO_MANY_TOKENS)), 422, "invalid_request_error", "too_many_tokens"),
    (MessageError(Code.EMPTY_TEXT, "nothing there", "text"), 400, "invalid_request_error", "empty_text"),
    (MessageError(Code.UNKNOWN_TENANT, "no policy", "tenant"), 403, "invalid_request_error", "unknown_tenant"),
    (ApiError(409, "not so", code="c", headers={"x-should-retry": "false"}), 409, "invalid_request_error", "c"),
    (HTTPException(413, "too large"), 413, "invalid_request_error", None),
    (HTTPException(418), 400, "invalid_request_error", None),
    (HTTPException(502), 400, "invalid_request_error", None),
    (
        RequestValidationError([{"loc": ("query", "wait"), "msg": "bad", "type": "x"}]),
        400,
        "invalid_request_error",
        "invalid_value",
    ),
    (RuntimeError("secret"), 500, "server_error", None),
    (GatewayError("secret"), 500, "server_error", None),
]


@pytest.mark.parametrize(("error", "status", "kind", "code"), CASES, ids=lambda value: type(value).__name__)
def test_an_error_has_its_status_type_and_code(error: Exception, status: int, kind: str, code: str | None) -> None:
    reply, body = told(error)
    assert reply.status_code == status
    assert (body["type"], body["code"]) == (kind, code)
    assert {"message", "type", "param", "code"} <= set(body)
    assert body["message"]


@pytest.mark.parametrize(("error", "status"), [case[:2] for case in CASES], ids=lambda value: type(value).__name__)
def test_only_statuses_of_the_contract_are_told(error: Exception, status: int) -> None:
    assert openai_error(error).status_code in {400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 500, 503, 504}


@pytest.mark.parametrize(
    ("seconds", "header", "milliseconds"),
    [(0, "1", "1"), (0.3, "1", "300"), (3.66, "4", "3660"), (59.2, "60", "59200"), (600, "60", "60000")],
)
def test_retry_after_is_never_longer_than_clients_obey(seconds: float, header: str, milliseconds: str) -> None:
    reply, body = told(RateLimited(limit=60, retry_after_s=seconds))
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == (header, milliseconds)
    assert f"in {max(seconds, 0.01):.2f}s" in body["message"]


@pytest.mark.parametrize("error", [RuntimeError("secret"), Unavailable("secret"), GatewayError("secret")])
def test_what_is_ours_is_not_told(error: Exception) -> None:
    reply, _ = told(error)
    assert b"secret" not in bytes(reply.body)


def test_late_and_refused_jobs_are_named() -> None:
    assert told(Late(["a", "b"]))[1]["job_ids"] == ["a", "b"]
    assert told(Refused(dead_letter(TextJob(job_id="a", text="x"))))[1]["job_ids"] == ["a"]


def test_a_conflict_tells_clients_not_to_try_again() -> None:
    assert told(CASES[9][0])[0].headers["x-should-retry"] == "false"


def test_the_parameter_at_fault_is_named() -> None:
    assert told(CASES[13][0])[1]["param"] == "wait"
    assert told(CASES[7][0])[1]["param"] == "text"


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer k", "k"), ("bearer  k ", "k"), ("Bearer", None), ("Bearer ", None), ("Basic k", None), ("", None), (None, None)],
)
def test_the_key_stands_in_the_authorization_header(header: str | None, key: str | None) -> None:
    headers = [] if header is None else [(b"authorization", header.encode())]
    assert bearer_key(Request({"type": "http", "headers": headers})) == key
