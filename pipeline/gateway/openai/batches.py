"""/v1/batches: many moderations from a file, answered in a file."""

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from pipeline.gateway.contract import Context
from pipeline.gateway.dialect import ApiError, json_reply
from pipeline.gateway.openai.batch_store import BatchStore
from pipeline.gateway.openai.file_store import KEEP_S
from pipeline.gateway.openai.files import ExpiresAfter
from pipeline.gateway.openai.incoming import Key, checked, read_json
from pipeline.gateway.openai.lines import ENDPOINT
from pipeline.gateway.openai.replies import BATCH_EXAMPLE, BATCHES_EXAMPLE, Batch, BatchList, link, page, replies
from pipeline.gateway.openai.runner import Runner

LIST_MAX: Final = 100
LIST_DEFAULT: Final = 20

Metadata = Annotated[dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)]


class BatchCreate(BaseModel):
    """What a batch is to do."""

    input_file_id: str = Field(description="A file that was uploaded with the purpose batch.")
    endpoint: Literal["/v1/moderations"]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class BatchListQuery(BaseModel):
    """Which batches to list, the newest first."""

    after: str | None = Field(default=None, description="The last id of the page before.")
    limit: Annotated[int, Field(ge=1, le=LIST_MAX)] = LIST_DEFAULT


def batches_router(context: Context, store: BatchStore, runner: Runner) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["batches"])
    _changes(router, context, store, runner)
    _views(router, context, store)
    return router


def _changes(router: APIRouter, context: Context, store: BatchStore, runner: Runner) -> None:
    @router.post(
        "/v1/batches",
        response_model=Batch,
        responses=replies(BATCH_EXAMPLE, 413, links={**link("retrieveBatch", "batch_id"), **link("cancelBatch", "batch_id")}),
        operation_id="createBatch",
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _SCHEMA}}}},
        summary="Start a batch",
    )
    async def create_batch(request: Request, key: Key) -> Response:
        context.gate.enter(key, texts=0)
        asked = checked(BatchCreate, await read_json(request))
        tenant = context.gate.enter(key, texts=1).tenant
        keep_s = asked.output_expires_after.seconds if asked.output_expires_after else KEEP_S
        batch = await asyncio.to_thread(store.create, tenant, asked.input_file_id, asked.metadata, keep_s)
        runner.take_up(batch.id, tenant)
        return json_reply(batch)

    @router.post(
        "/v1/batches/{batch_id}/cancel",
        response_model=Batch,
        responses=replies({**BATCH_EXAMPLE, "status": "cancelling"}, 404, 409),
        operation_id="cancelBatch",
        summary="Stop a batch, keep what is done",
    )
    async def cancel_batch(batch_id: str, key: Key) -> Response:
        tenant = context.gate.enter(key, texts=0).tenant
        found, changed = await asyncio.to_thread(store.cancel, tenant, batch_id)
        batch = _found(batch_id, found)
        if changed:
            runner.take_up(batch.id, tenant)
        elif batch.status != "cancelling":
            message = f"Cannot cancel a batch with status '{batch.status}'."
            raise ApiError(409, message, headers={"x-should-retry": "false"})  # clients would try a conflict again
        return json_reply(batch)


def _views(router: APIRouter, context: Context, store: BatchStore) -> None:
    @router.get(
        "/v1/batches",
        response_model=BatchList,
        responses=replies(BATCHES_EXAMPLE),
        operation_id="listBatches",
        summary="List batches",
    )
    async def list_batches(query: Annotated[BatchListQuery, Query()], key: Key) -> Response:
        tenant = context.gate.enter(key, texts=0).tenant
        found = await asyncio.to_thread(store.page, tenant, query.after, query.limit)
        return json_reply(BatchList(**page(found, query.limit)))

    @router.get(
        "/v1/batches/{batch_id}",
        response_model=Batch,
        responses=replies(BATCH_EXAMPLE, 404),
        operation_id="retrieveBatch",
        summary="How a batch stands",
    )
    async def retrieve_batch(batch_id: str, key: Key) -> Response:
        tenant = context.gate.enter(key, texts=0).tenant
        return json_reply(_found(batch_id, await asyncio.to_thread(store.read, tenant, batch_id)))


def _found(batch_id: str, batch: Batch | None) -> Batch:
    if batch is None:
        raise ApiError(404, f"No batch found with id '{batch_id[:100]}'.", param="id")
    return batch


_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["input_file_id", "endpoint", "completion_window"],
    "properties": {
        "input_file_id": {"type": "string", "description": "A file that was uploaded with the purpose batch."},
        "endpoint": {"type": "string", "enum": [ENDPOINT]},
        "completion_window": {"type": "string", "enum": ["24h"]},
        "metadata": {
            "type": ["object", "null"],
            "maxProperties": 16,
            "propertyNames": {"maxLength": 64},
            "additionalProperties": {"type": "string", "maxLength": 512},
        },
        "output_expires_after": {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["anchor", "seconds"],
                    "properties": {
                        "anchor": {"type": "string", "enum": ["created_at"]},
                        "seconds": {"type": "integer", "minimum": 3_600, "maximum": KEEP_S},
                    },
                },
                {"type": "null"},
            ]
        },
    },
    "examples": [{"input_file_id": "file-0199…", "endpoint": ENDPOINT, "completion_window": "24h"}],
}
