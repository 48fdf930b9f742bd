"""The objects that this API answers with, as its clients know them, and the errors that it may answer with instead."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from pipeline.gateway.error_docs import error_responses
from pipeline.gateway.openai.categories import NAMES, Scores, moderation


def _map_of(kind: dict[str, Any]) -> dict[str, Any]:
    return {"properties": dict.fromkeys(NAMES, kind), "required": list(NAMES), "additionalProperties": False}


class Moderation(BaseModel):
    """What the policy and the model say of one text."""

    flagged: bool = Field(description="The tenant's policy asks for review or block.")
    categories: dict[str, bool] = Field(json_schema_extra=_map_of({"type": "boolean"}))
    category_scores: dict[str, float] = Field(json_schema_extra=_map_of({"type": "number", "minimum": 0, "maximum": 1}))
    category_applied_input_types: dict[str, list[str]] = Field(
        json_schema_extra=_map_of({"type": "array", "items": {"type": "string", "enum": ["text"]}})
    )


class Moderations(BaseModel):
    """The reply of /v1/moderations: one result for a string or a list of parts, one each for a list of strings."""

    id: str
    model: str = Field(description="The name that the request used.")
    results: list[Moderation]


class FileObject(BaseModel):
    """A file that was uploaded, or the output of a batch."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"
    status_details: None = None


class FileList(BaseModel):
    """One page of files."""

    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(BaseModel):
    """That a file is gone."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]


class BatchFault(BaseModel):
    """Why a file did not pass."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


class BatchFaults(BaseModel):
    """All that was found, up to a limit."""

    object: Literal["list"] = "list"
    data: list[BatchFault]


class RequestCounts(BaseModel):
    """Lines of a batch: those answered are completed or failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(BaseModel):
    """A batch, as it stands."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = None
    errors: BatchFaults | None = None
    input_file_id: str
    completion_window: str
    status: Status
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: int
    in_progress_at: int | None = None
    expires_at: int
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()
    metadata: dict[str, str] | None = None


class BatchList(BaseModel):
    """One page of batches."""

    object: Literal["list"] = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


def replies(example: object, *statuses: int, links: dict[str, Any] | None = None) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for its documentation: an example, these statuses, and those that every request may end in.

    `links` say which operations take the id of what it answers with.
    """
    shown = {"content": {"application/json": {"example": example}}, "links": links or {}}
    return {200: shown, **error_responses(*sorted({*statuses, 400, 401, 429, 503}))}


def link(operation: str, parameter: str) -> dict[str, dict[str, Any]]:
    """That the id of an answer is a parameter of another operation."""
    return {operation: {"operationId": operation, "parameters": {parameter: "$response.body#/id"}}}


def page(items: list[Any], limit: int) -> dict[str, Any]:
    """One page of `items`, which holds one more than `limit` where there is another page."""
    data = items[:limit]
    return {
        "data": data,
        "first_id": data[0].id if data else None,
        "last_id": data[-1].id if data else None,
        "has_more": len(items) > limit,
    }


_CREATED: Final = 1_795_572_364
_FILE: Final = FileObject(
    id="file-019ab2c34d5e7f608a9b0c1d2e3f4a5b",
    bytes=1_240,
    created_at=_CREATED,
    expires_at=_CREATED + 2_592_000,
    filename="comments.jsonl",
    purpose="batch",
)
_BATCH: Final = Batch(
    id="batch_019ab2c34d5e7f608a9b0c1d2e3f4a5c",
    endpoint="/v1/moderations",
    model="omni-moderation-latest",
    input_file_id=_FILE.id,
    completion_window="24h",
    status="in_progress",
    created_at=_CREATED,
    in_progress_at=_CREATED + 1,
    expires_at=_CREATED + 86_400,
    request_counts=RequestCounts(total=100, completed=40, failed=1),
)
_SCORES: Final = Scores(flagged=True, labels={"toxicity": (0.97, True), "insult": (0.96, True)})
MODERATION_EXAMPLE: Final = {
    "id": "modr-019ab2c34d5e7f608a9b0c1d2e3f4a5d",
    "model": "omni-moderation-latest",
    "results": [moderation(_SCORES)],
}
FILE_EXAMPLE: Final = _FILE.model_dump()
FILES_EXAMPLE: Final = FileList(**page([_FILE], 1)).model_dump()
DELETED_EXAMPLE: Final = FileDeleted(id=_FILE.id).model_dump()
BATCH_EXAMPLE: Final = _BATCH.model_dump()
BATCHES_EXAMPLE: Final = BatchList(**page([_BATCH], 1)).model_dump()
