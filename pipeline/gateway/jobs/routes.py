"""The routes of jobs: POST /v1/jobs, GET /v1/jobs/{id}, GET /v1/jobs/events."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import Response

from pipeline.gateway.contract import Context, Unavailable
from pipeline.gateway.dialect import ApiError, bearer_key
from pipeline.gateway.jobs import examples
from pipeline.gateway.jobs.hub import Hub
from pipeline.gateway.jobs.replies import (
    JOBS_PATH,
    event_json,
    job_json,
    json_bytes,
    late_reply,
    list_json,
    refused_reply,
)
from pipeline.gateway.jobs.requests import CLAIM_PATTERN, LARGE_BYTES, check_media_type, claim_of, parse_body
from pipeline.gateway.jobs.responses import CREATE_RESPONSES, EVENTS_RESPONSES, JOB_RESPONSES
from pipeline.gateway.jobs.store import JobStore, State, StoredJob
from pipeline.gateway.jobs.stream import open_stream
from pipeline.gateway.jobs.submissions import Submissions
from pipeline.policies import policy_of

PAGE_MAX: Final = 100
EVENT_MAX: Final = (1 << 62) - 1
ID_CHARACTERS_MAX: Final = 64
_STREAM: Final = "text/event-stream"
_TAGS: Final[list[Any]] = ["jobs"]

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=CLAIM_PATTERN,
        description="Yours, 1 to 255 visible ASCII characters. The same key with the same body means the same jobs, for as long "
        "as outcomes are kept; with another body it is 409.",
    ),
]
JobId = Annotated[str, Path(alias="job_id", description="The id that POST /v1/jobs gave.")]
LastEventId = Annotated[
    int | None,
    Header(alias="Last-Event-ID", ge=0, le=EVENT_MAX, description="The last event that you have; goes before `after`."),
]
After = Annotated[int | None, Query(ge=0, le=EVENT_MAX, description="Only outcomes with higher numbers.")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Outcomes in a page, at most; a stream has no pages.")]


class JobRoutes:
    """The handlers; `router` has them."""

    def __init__(self, context: Context, store: JobStore, submissions: Submissions, hub: Hub) -> None:
        self._context = context
        self._store = store
        self._submissions = submissions
        self._hub = hub
        self.router = APIRouter()
        self._add_create(context.settings.http_wait_s)
        self.router.add_api_route(
            f"{JOBS_PATH}/events",
            self._events,
            methods=["GET"],
            tags=_TAGS,
            summary="Outcomes as they come",
            description="Outcomes of all your jobs, the oldest first. With `Accept: text/event-stream` a stream of server-sent "
            "events that goes on until you leave, and begins with what comes from now on unless you say what you have; else one "
            "page.",
            responses=EVENTS_RESPONSES,
        )
        self.router.add_api_route(
            f"{JOBS_PATH}/{{job_id}}",
            self._get,
            methods=["GET"],
            tags=_TAGS,
            summary="One job",
            description="The job as it stands. Outcomes are kept for the hours that the setting `gateway_keep_hours` says.",
            responses=JOB_RESPONSES,
        )

    def _add_create(self, wait_s_max: float) -> None:
        wait_type = Annotated[
            float, Query(ge=0, le=wait_s_max, description="Seconds to wait for the outcomes; 0: answer with ids at once.")
        ]

        async def create(request: Request, wait: wait_type = 0, idempotency_key: IdempotencyKey = None) -> Response:
            return await self._create(request, wait, idempotency_key)

        self.router.add_api_route(
            JOBS_PATH,
            create,
            methods=["POST"],
            tags=_TAGS,
            summary="Work on one text, or on many",
            description="Without `wait`, 202 and ids once the jobs are safe. With it, 200 and outcomes. A single job that "
            "becomes a dead letter is 422; in a list each tells its own status. Jobs that are late go on: 504 shows all of them "
            "as they stand.",
            status_code=202,
            responses=CREATE_RESPONSES,
            openapi_extra={
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": examples.body_schema(), "examples": examples.BODIES}},
                }
            },
        )

    async def _create(self, request: Request, wait_s: float, idempotency_key: str | None) -> Response:
        key = bearer_key(request)
        tenant = self._context.gate.enter(key, texts=0).tenant
        policy_of(self._context.policies(), tenant)
        check_media_type(request.headers.get("content-type"), request.headers.get("content-encoding"))
        body = await request.body()
        asked = parse_body(body, tenant) if len(body) < LARGE_BYTES else await asyncio.to_thread(parse_body, body, tenant)
        self._context.gate.enter(key, texts=len(asked.jobs))
        claim = claim_of(idempotency_key, body)
        if not wait_s:
            return _accepted(await self._submissions.accept(tenant, asked.jobs, claim), many=asked.many)
        jobs, late = await self._submissions.ask(tenant, asked.jobs, claim, wait_s)
        return late_reply(late, jobs) if late else _outcomes(jobs, many=asked.many)

    async def _get(self, request: Request, job_id: JobId) -> Response:
        tenant = self._context.gate.enter(bearer_key(request), texts=0).tenant
        found = await self._store.find(tenant, [job_id]) if len(job_id) <= ID_CHARACTERS_MAX else {}
        if job_id not in found:
            raise ApiError(404, f"No such job: {job_id[:ID_CHARACTERS_MAX]}", param="job_id", code="not_found")
        return json_bytes(job_json(found[job_id]))

    async def _events(
        self, request: Request, last_event_id: LastEventId = None, after: After = None, limit: Limit = PAGE_MAX
    ) -> Response:
        key = bearer_key(request)
        tenant = self._context.gate.enter(key, texts=0).tenant
        last = await self._store.last_event()
        known = last_event_id if last_event_id is not None else after
        if _STREAM in request.headers.get("accept", "").lower():
            draining: asyncio.Event = request.app.state.draining
            if draining.is_set():
                raise Unavailable("the gateway is stopping")
            begin = last if known is None else min(known, last)
            return open_stream(
                self._store,
                self._hub,
                tenant,
                begin,
                draining=draining,
                still_welcome=lambda: self._context.gate.enter(key, texts=0),
            )
        begin = min(known or 0, last)
        page = await self._store.events(tenant, begin, limit + 1)
        return json_bytes(event_json(page[:limit], begin, more=len(page) > limit))


def _accepted(jobs: Sequence[StoredJob], *, many: bool) -> Response:
    if many or len(jobs) != 1:
        return json_bytes(list_json(jobs), 202)
    return json_bytes(job_json(jobs[0]), 202, {"location": f"{JOBS_PATH}/{jobs[0].job_id}"})


def _outcomes(jobs: Sequence[StoredJob], *, many: bool) -> Response:
    if many or len(jobs) != 1:
        return json_bytes(list_json(jobs))
    return refused_reply(jobs[0]) if jobs[0].state is State.DEAD else json_bytes(job_json(jobs[0]))
