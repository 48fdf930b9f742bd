"""The body of POST /v1/jobs: bytes become jobs once, here, and what is wrong is named with its path.

In: one object, or `{"jobs": [...]}`. Out: jobs with ids of our own, for the caller's tenant.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from pipeline.gateway.dialect import ApiError
from pipeline.gateway.jobs.store import Claim
from schemas.codes import Code, Task
from schemas.errors import MessageError
from schemas.ids import new_job_id
from schemas.jobs import BULK_JOBS_MAX, TextJob, parse_job

FIELDS: Final = ("text", "task", "language", "deadline", "metadata")
"""What a client says of a job; the rest is ours: its id, its tenant, where its outcome goes."""
LARGE_BYTES: Final = 64 << 10
"""A body that takes longer to read than other requests should wait: read in a thread."""
NAME_CHARACTERS_MAX: Final = 100
"""Of a field that we do not know, in an error."""
CLAIM_PATTERN: Final = r"^[\x21-\x7e]{1,255}$"
_JSON_TYPE: Final = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for; `many` where it came as a list, and is answered so."""

    jobs: tuple[TextJob, ...]
    many: bool


def check_media_type(content_type: str | None, content_encoding: str | None) -> None:
    """Raises ApiError 415 for what is not plain JSON. A web page cannot send JSON to another site without its leave."""
    if not _JSON_TYPE.fullmatch((content_type or "").partition(";")[0].strip()):
        raise ApiError(415, "The Content-Type must be application/json.", code="unsupported_media_type")
    if (content_encoding or "identity").strip().lower() != "identity":
        raise ApiError(415, "The body must not be compressed.", code="unsupported_media_type")


def claim_of(key: str | None, body: bytes) -> Claim | None:
    """What an Idempotency-Key holds a request to."""
    return Claim(key, hashlib.sha256(body).hexdigest()) if key is not None else None


def parse_body(body: bytes, tenant: str) -> Asked:
    """The jobs that `body` asks for; raises MessageError with the first thing that is wrong."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise MessageError(Code.MALFORMED_JSON, f"the body is not JSON: {error}") from error
    if isinstance(value, dict) and "jobs" in value:
        return Asked(_parse_list(value, tenant), many=True)
    return Asked((_parse_one(value, tenant, ""),), many=False)


def _parse_list(value: dict[str, Any], tenant: str) -> tuple[TextJob, ...]:
    items = value["jobs"]
    if len(value) > 1:
        raise MessageError(Code.UNKNOWN_FIELD, "beside jobs there is nothing else")
    if not isinstance(items, list) or not 1 <= len(items) <= BULK_JOBS_MAX:
        raise MessageError(Code.BULK_TOO_LONG, f"a list of 1 to {BULK_JOBS_MAX} jobs", "jobs")
    return tuple(_parse_one(item, tenant, f"jobs.{index}") for index, item in enumerate(items))


def _parse_one(value: object, tenant: str, path: str) -> TextJob:
    try:
        if isinstance(value, dict):
            _check_fields(value)
            value = {**value, "job_id": new_job_id(), "tenant": tenant}
        return parse_job(value)
    except MessageError as error:
        inner = f"{path}.{error.path}".strip(".")
        reason = error.reason.removeprefix(f"{error.path}: ")
        raise MessageError(error.code, reason, inner) from error


def _check_fields(value: dict[str, Any]) -> None:
    for name in value:
        if name not in FIELDS:
            raise MessageError(Code.UNKNOWN_FIELD, f"a job has {', '.join(FIELDS)}, nothing else", name[:NAME_CHARACTERS_MAX])
    task = value.get("task", Task.MODERATION)
    if task not in tuple(Task):
        raise MessageError(Code.UNKNOWN_TASK, f"known tasks: {', '.join(Task)}", "task")
