"""What every message model shares: frozen, and strict about fields it does not know."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


class Message(BaseModel):
    """A frozen model that refuses unknown fields, with the field's path in the error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", hide_input_in_errors=True)


def _refuse_numbers(value: object) -> object:
    # pydantic would read a number as seconds or as milliseconds, by its size: a guess has no place in a contract.
    if isinstance(value, int | float):
        raise PydanticCustomError("timestamp_number", "a time is a string such as 2026-11-24T08:00:00Z, not a number")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_refuse_numbers, json_schema_input_type=str)]
"""An RFC 3339 time with a zone, such as 2026-11-24T08:00:00Z."""


def timestamp_from_ms(unix_ms: int) -> datetime:
    """The time that many milliseconds after 1970-01-01T00:00:00Z."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC)
