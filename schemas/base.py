"""What every message model shares: frozen, and strict about fields it does not know."""

import re
from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

_NUMBER: Final = re.compile(r"[+-]?[\d.]+")
_LAST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, where calendars of programs end."""


class Message(BaseModel):
    """A frozen model that refuses unknown fields, with the field's path in the error."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", hide_input_in_errors=True)


def _refuse_numbers(value: object) -> object:
    # pydantic would read a number, also one in quotes, as seconds or as milliseconds, by its size: a guess has no place in
    # a contract.
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise PydanticCustomError("timestamp_number", "a time is a string such as 2026-11-24T08:00:00Z, not a number")
    return value


Timestamp = Annotated[AwareDatetime, BeforeValidator(_refuse_numbers, json_schema_input_type=str)]
"""An RFC 3339 time with a zone, such as 2026-11-24T08:00:00Z."""


def timestamp_from_ms(unix_ms: int) -> datetime:
    """The time that many milliseconds after 1970-01-01T00:00:00Z; what no calendar holds becomes the nearest that it does.

    A record's time is its sender's where the broker lets it be: it may be anything.
    """
    return datetime.fromtimestamp(min(max(unix_ms, 0), _LAST_MS) / 1000, UTC)
