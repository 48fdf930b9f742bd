"""What the own API answers with: JSON put together from parts that are JSON already, and the models that document it."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from pipeline.gateway.contract import Late
from pipeline.gateway.dialect import envelope, late_body
from pipeline.gateway.error_docs import ErrorDetail
from pipeline.gateway.jobs.store import State, StoredJob
from schemas.base import Timestamp
from schemas.codes import Code, Verdict
from schemas.results import InferenceResult

JOBS_PATH: Final = "/v1/jobs"
_STATUSES: Final = {State.NEW: b"pending", State.PUBLISHED: b"pending", State.DONE: b"done", State.DEAD: b"dead"}
_KEYS: Final = {State.DONE: b',"result":', State.DEAD: b',"error":'}


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Links(_Reply):
    """Where to ask further."""

    self: str


class JobError(_Reply):
    """Why a job is dead."""

    message: str
    code: Code
    stage: Literal["preprocess", "worker"]
    attempts: int
    failed_at: Timestamp
    unscored_verdict: Verdict | None = Field(default=None, description="What your policy makes of a text without scores.")


class Job(_Reply):
    """A job as it stands: with its `result` once it is done, with an `error` where it became a dead letter."""

    object: Literal["job"]
    id: str
    status: Literal["pending", "done", "dead"]
    created_at: Timestamp
    links: Links
    result: InferenceResult | None = Field(default=None, description="There where the status is done.")
    error: JobError | None = Field(default=None, description="There where the status is dead.")


class JobList(_Reply):
    """Jobs in the order of the request."""

    object: Literal["list"]
    data: list[Job]


class LateReply(JobList):
    """The jobs of a request as they stand, and which of them are late."""

    error: ErrorDetail


class Event(_Reply):
    """An outcome and its number; numbers rise, with gaps."""

    id: int
    job: Job


class EventList(_Reply):
    """A page of outcomes, the oldest first. Ask for the next with `after=last_id`."""

    object: Literal["list"]
    data: list[Event]
    last_id: int
    has_more: bool


def job_json(job: StoredJob) -> bytes:
    """The JSON of a job, in one line."""
    created = datetime.fromtimestamp(job.created_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    name = job.job_id.encode()
    head = b'{"object":"job","id":"%s","status":"%s","created_at":"%s"' % (name, _STATUSES[job.state], created.encode())
    links = b',"links":{"self":"%s/%s"}' % (JOBS_PATH.encode(), name)
    outcome = _KEYS[job.state] + job.outcome if job.outcome is not None else b""
    return head + links + outcome + b"}"


def list_json(jobs: Iterable[StoredJob]) -> bytes:
    """The JSON of a list of jobs."""
    return b'{"object":"list","data":[' + b",".join(map(job_json, jobs)) + b"]}"


def event_json(jobs: Sequence[StoredJob], after: int, *, more: bool) -> bytes:
    """The JSON of a page of outcomes."""
    events = (b'{"id":%d,"job":%s}' % (job.seq or 0, job_json(job)) for job in jobs)
    last = jobs[-1].seq or 0 if jobs else after
    tail = b'],"last_id":%d,"has_more":%s}' % (last, b"true" if more else b"false")
    return b'{"object":"list","data":[' + b",".join(events) + tail


def event_chunk(job: StoredJob) -> bytes:
    """The same outcome as a server-sent event."""
    return b"id: %d\nevent: job\ndata: %s\n\n" % (job.seq or 0, job_json(job))


def json_bytes(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A reply whose JSON is there already."""
    return Response(body, status, headers=headers, media_type="application/json")


def refused_reply(job: StoredJob) -> Response:
    """422 for a single dead job."""
    assert job.outcome is not None, "a dead job has its reason"
    reason = from_json(job.outcome)
    body = envelope(reason["message"], code=reason["code"])
    body["error"]["job_ids"] = [job.job_id]
    return json_bytes(to_json(body), 422)


def late_reply(error: Late, jobs: Sequence[StoredJob]) -> Response:
    """504 that names the late jobs and shows all of the request as they stand."""
    body = to_json(late_body(error))
    return json_bytes(body[:-1] + b"," + list_json(jobs)[1:], 504)
