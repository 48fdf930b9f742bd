"""Jobs: what strangers publish to the jobs topic, one JSON object a record or a JSON array of at most 500.

In: plain objects as JSON decoders give them. Out: a `TextJob`, or a `MessageError` that names the field and the code.
"""

import math
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticSerializationError, to_json

from schemas.base import Message, Timestamp
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.ids import new_job_id

TEXT_BYTES_MAX: Final = 1 << 20
"""UTF-8 bytes of one text: longer is a file, not a comment."""
METADATA_BYTES_MAX: Final = 16 << 10
"""Bytes of metadata as compact JSON: it rides along through every topic."""
METADATA_DEPTH_MAX: Final = 32
"""Nested arrays and objects in metadata: every decoder on the way has a limit, and this one is ours to know."""
ID_CHARACTERS_MAX: Final = 256
PATH_STEPS_MAX: Final = 4
"""Steps of a field's path in a reason: enough for a person, short for what is nested out of spite."""
PATH_CHARACTERS_MAX: Final = 200
"""Characters of such a path: a field's name is the sender's, and may be as long as the record."""
BULK_JOBS_MAX: Final = 500
"""Jobs in one record; keeps a record well under the broker's limit for ordinary texts."""


class TextJob(Message):
    """One text to be worked on. Only `text` is required."""

    version: Literal[1] = Field(default=1, description="Version of this schema.")
    job_id: str = Field(
        default_factory=new_job_id,
        min_length=1,
        max_length=ID_CHARACTERS_MAX,
        description="Names the job in every topic; UUID version 7 by default. A repeated id is a repeated question.",
    )
    text: str = Field(
        description="The text, at most 1 MiB of UTF-8, kept as it is; scoring uses a normalised copy.",
        json_schema_extra={"minLength": 1},
    )
    task: Annotated[str, Field(max_length=64)] = Field(default="moderation", description="What is asked: moderation.")
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        default="default", description="Whose policy decides the verdict."
    )
    language: Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$", max_length=35)] | None = Field(
        default=None, description="BCP 47 hint such as en or zh-CN; detected from the text when absent."
    )
    created_at: Timestamp = Field(
        default_factory=lambda: datetime.now(UTC), description="When the job was made; the record's time when absent."
    )
    reply_to: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}$")] | None = Field(
        default=None, description="A reply topic that gets a copy of the result or dead letter."
    )
    deadline: Timestamp | None = Field(
        default=None, description="A job published after this time is dead-lettered instead of worked on."
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict, description="Yours, at most 16 KiB of JSON; comes back untouched in the result."
    )

    @model_validator(mode="after")
    def _within_limits(self) -> Self:
        if _utf8_bytes(self.text) > TEXT_BYTES_MAX:
            raise PydanticCustomError("text_too_long", "text is larger than 1 MiB of UTF-8")
        if not self.text or self.text.isspace():
            raise PydanticCustomError("empty_text", "text is empty or white space")
        if not self.job_id.isprintable() and any(unicodedata.category(char) == "Cc" for char in self.job_id):
            raise PydanticCustomError("invalid_id", "job_id holds control characters")
        if self.metadata and not _plain_json(self.metadata, METADATA_DEPTH_MAX):
            raise PydanticCustomError("metadata_json", "metadata holds NaN or infinity, or is nested too deeply")
        if self.metadata and _json_bytes(self.metadata) > METADATA_BYTES_MAX:
            raise PydanticCustomError("metadata_too_large", "metadata is larger than 16 KiB of JSON")
        return self


def _utf8_bytes(value: str) -> int:
    try:
        return len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise PydanticCustomError("lone_surrogate", "text holds half of a surrogate pair") from error


def _plain_json(value: JsonValue, depth_max: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return depth_max > 0 and all(_plain_json(item, depth_max - 1) for item in inner)


def _json_bytes(metadata: dict[str, JsonValue]) -> int:
    try:
        return len(to_json(metadata))
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise PydanticCustomError("lone_surrogate", "metadata holds half of a surrogate pair") from error


_CODES_BY_TYPE: Final = {
    "missing": Code.MISSING_FIELD,
    "extra_forbidden": Code.UNKNOWN_FIELD,
    "string_unicode": Code.LONE_SURROGATE,
    "lone_surrogate": Code.LONE_SURROGATE,
    "text_too_long": Code.TEXT_TOO_LONG,
    "empty_text": Code.EMPTY_TEXT,
    "invalid_id": Code.INVALID_ID,
    "metadata_too_large": Code.METADATA_TOO_LARGE,
}
_CODES_BY_FIELD: Final = {"job_id": Code.INVALID_ID, "version": Code.UNSUPPORTED_VERSION}


def _code_of(error: ErrorDetails) -> Code:
    by_type = _CODES_BY_TYPE.get(error["type"])
    field = str(error["loc"][0]) if error["loc"] else ""
    return by_type or _CODES_BY_FIELD.get(field, Code.INVALID_FIELD)


def parse_job(value: object) -> TextJob:
    """The job that `value` describes; raises MessageError with the code and the path of the first thing that is wrong."""
    if not isinstance(value, dict):
        raise MessageError(Code.INVALID_FIELD, f"a job is a JSON object, not {type(value).__name__}")
    try:
        return TextJob.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        path = ".".join(str(step) for step in first["loc"][:PATH_STEPS_MAX])[:PATH_CHARACTERS_MAX]
        raise MessageError(_code_of(first), first["msg"], path) from error
    except RecursionError as error:
        raise MessageError(Code.MALFORMED_JSON, "nested too deeply") from error
