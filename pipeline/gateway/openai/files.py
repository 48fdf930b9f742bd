"""/v1/files: what batches read, and what they write."""

import asyncio
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field

from pipeline.gateway.contract import Context
from pipeline.gateway.dialect import ApiError, json_reply
from pipeline.gateway.openai.file_store import KEEP_MIN_S, KEEP_S, FileStore
from pipeline.gateway.openai.incoming import Key, checked
from pipeline.gateway.openai.replies import (
    DELETED_EXAMPLE,
    FILE_EXAMPLE,
    FILES_EXAMPLE,
    FileDeleted,
    FileList,
    FileObject,
    link,
    page,
    replies,
)
from pipeline.gateway.openai.upload import Form, receive

LIST_MAX: Final = 10_000


class ExpiresAfter(BaseModel):
    """When a file goes by itself."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=KEEP_MIN_S, le=KEEP_S)]


class FileListQuery(BaseModel):
    """Which files to list."""

    after: str | None = Field(default=None, description="The last id of the page before.")
    limit: Annotated[int, Field(ge=1, le=LIST_MAX)] = LIST_MAX
    order: Literal["asc", "desc"] = Field(default="desc", description="By age: desc begins with the newest.")
    purpose: str | None = None


_UPLOAD: Final = {
    "type": "object",
    "required": ["purpose", "file"],
    "properties": {
        "purpose": {"type": "string", "enum": ["batch"]},
        "file": {"type": "string", "format": "binary", "description": "JSON lines, its name ends in .jsonl, at most 200 MB."},
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {"type": "integer", "minimum": KEEP_MIN_S, "maximum": KEEP_S, "default": KEEP_S},
    },
}

_BATCH: Final = {"input_file_id": "$response.body#/id", "endpoint": "/v1/moderations", "completion_window": "24h"}
_LINKS: Final = {
    **link("retrieveFile", "file_id"),
    **link("downloadFile", "file_id"),
    **link("deleteFile", "file_id"),
    "createBatch": {"operationId": "createBatch", "requestBody": _BATCH},
}


def files_router(context: Context, store: FileStore) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["files"])
    _changes(router, context, store)
    _views(router, context, store)
    return router


def _changes(router: APIRouter, context: Context, store: FileStore) -> None:
    @router.post(
        "/v1/files",
        response_model=FileObject,
        responses=replies(FILE_EXAMPLE, 413, links=_LINKS),
        openapi_extra={"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _UPLOAD}}}},
        operation_id="createFile",
        summary="Upload the input of a batch",
    )
    async def create_file(request: Request, key: Key) -> Response:
        caller = context.gate.enter(key, texts=1)
        form = await receive(request, store)
        try:
            return json_reply(await asyncio.to_thread(_keep, form, caller.tenant))
        except BaseException:
            form.discard()
            raise

    @router.delete(
        "/v1/files/{file_id}",
        response_model=FileDeleted,
        responses=replies(DELETED_EXAMPLE, 404),
        operation_id="deleteFile",
        summary="Delete a file",
    )
    async def delete_file(file_id: str, key: Key) -> Response:
        tenant = context.gate.enter(key, texts=0).tenant
        if not await asyncio.to_thread(store.delete, tenant, file_id):
            raise no_such_file(file_id)
        return json_reply(FileDeleted(id=file_id))


def _views(router: APIRouter, context: Context, store: FileStore) -> None:
    @router.get(
        "/v1/files", response_model=FileList, responses=replies(FILES_EXAMPLE), operation_id="listFiles", summary="List files"
    )
    async def list_files(query: Annotated[FileListQuery, Query()], key: Key) -> Response:
        tenant = context.gate.enter(key, texts=0).tenant
        found = await asyncio.to_thread(
            store.page,
            tenant,
            after=query.after,
            limit=query.limit,
            ascending=query.order == "asc",
            purpose=query.purpose,
        )
        return json_reply(FileList(**page(found, query.limit)))

    @router.get(
        "/v1/files/{file_id}",
        response_model=FileObject,
        responses=replies(FILE_EXAMPLE, 404),
        operation_id="retrieveFile",
        summary="What is known of a file",
    )
    async def retrieve_file(file_id: str, key: Key) -> Response:
        return json_reply(await _found(store, context.gate.enter(key, texts=0).tenant, file_id))

    @router.get(
        "/v1/files/{file_id}/content",
        response_class=FileResponse,
        responses={**replies(None, 404), 200: _CONTENT},
        operation_id="downloadFile",
        summary="Download a file",
    )
    async def retrieve_content(file_id: str, key: Key) -> FileResponse:
        file = await _found(store, context.gate.enter(key, texts=0).tenant, file_id)
        return FileResponse(store.path(file.id), filename=file.filename, media_type="application/octet-stream")


_CONTENT: Final[dict[str, Any]] = {
    "description": "The bytes of the file.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}


def no_such_file(file_id: str) -> ApiError:
    """How clients know that a file is not there; other tenants' files are not there either."""
    return ApiError(404, f"No such File object: {file_id[:100]}", param="id")


async def _found(store: FileStore, tenant: str, file_id: str) -> FileObject:
    file = await asyncio.to_thread(store.read, tenant, file_id)
    if file is None:
        raise no_such_file(file_id)
    return file


def _keep(form: Form, tenant: str) -> FileObject:
    if "purpose" not in form.fields:
        raise ApiError(400, "Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter")
    if form.fields["purpose"] != "batch":
        message = f"Invalid value: '{form.fields['purpose'][:100]}'. Supported values are: 'batch'."
        raise ApiError(400, message, param="purpose", code="invalid_value")
    keep_s = _keep_s(form.fields)
    if not form.filename.lower().endswith(".jsonl"):
        raise ApiError(400, "Invalid file format for Batch API. Must be .jsonl", param="file")
    return form.keep(tenant, keep_s)


def _keep_s(fields: dict[str, str]) -> int:
    prefix = "expires_after["
    given = {name[len(prefix) : -1]: value for name, value in fields.items() if name.startswith(prefix)}
    return checked(ExpiresAfter, given).seconds if given else KEEP_S
