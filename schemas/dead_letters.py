"""Dead letters: what could not be worked on, why, and its original bytes, so that a person can mend and replay it."""

import base64
from collections.abc import Sequence
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import to_json

from schemas.base import Message, Timestamp
from schemas.codes import Code, Verdict
from schemas.work import Source

_READABLE_BYTES: Final = 4096
"""How much larger than base64 text may be, escapes included: readable matters, but control characters grow sixfold."""

HEADERS_BYTES_MAX: Final = 64 << 10
"""All headers of an original as JSON: many small ones would grow a dead letter beyond what its topic takes."""


class RawBytes(Message):
    """Bytes as JSON can hold them: as text where they are UTF-8 and not mostly escapes, else in base64."""

    encoding: Literal["utf-8", "base64"]
    data: str
    bytes_total: int = Field(ge=0, description="Size of the original; larger than `data` where that was cut to fit a record.")

    @model_validator(mode="after")
    def _decodable(self) -> Self:
        self.to_bytes()
        return self

    @classmethod
    def of(cls, value: bytes, bytes_max: int | None = None) -> Self:
        """`value`, of which at most `bytes_max` bytes are kept."""
        kept = value if bytes_max is None else value[:bytes_max]
        in_base64 = base64.b64encode(kept).decode("ascii")
        try:
            text = kept.decode()
        except UnicodeDecodeError:
            return cls(encoding="base64", data=in_base64, bytes_total=len(value))
        if len(to_json(text)) > len(in_base64) + _READABLE_BYTES:
            return cls(encoding="base64", data=in_base64, bytes_total=len(value))
        return cls(encoding="utf-8", data=text, bytes_total=len(value))

    def to_bytes(self) -> bytes:
        """The bytes that `data` stands for; raises ValueError where it is no base64."""
        return self.data.encode() if self.encoding == "utf-8" else base64.b64decode(self.data, validate=True)

    @property
    def complete(self) -> bool:
        """Whether nothing was cut."""
        return len(self.to_bytes()) == self.bytes_total


class Header(Message):
    """One Kafka header; a name may stand more than once."""

    name: str
    value: RawBytes | None


class Original(Message):
    """The message as it came. For one job of a bulk record: that job alone."""

    key: RawBytes | None = None
    headers: tuple[Header, ...] = ()
    headers_dropped: int = Field(default=0, ge=0, description="Headers left out because all of them are more than 64 KiB.")
    value: RawBytes | None = None


def kept_headers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[Header, ...]:
    """The first of `headers`, as many as fit into `HEADERS_BYTES_MAX`."""
    kept: list[Header] = []
    size = 0
    for name, value in headers:
        if len(name) + len(value or b"") > HEADERS_BYTES_MAX:
            break
        header = Header(name=name, value=None if value is None else RawBytes.of(value))
        size += len(to_json(header))
        if size > HEADERS_BYTES_MAX:
            break
        kept.append(header)
    return tuple(kept)


class DeadLetter(Message):
    """One message that was refused or failed; keyed by job id where there is one."""

    version: Literal[1] = 1
    job_id: str | None = Field(description="Null only where the input gave none.")
    code: Code
    stage: Literal["preprocess", "worker"]
    reason: str = Field(description="One sentence for a person; names the field where one is at fault.")
    source: Source = Field(description="Where the original stands.")
    original: Original
    attempts: int = Field(ge=1, description="Tries so far, those before its replays included.")
    versions: dict[str, str] = Field(description="Versions of llmos and, where known, of the model.")
    reply_to: str | None = None
    unscored_verdict: Verdict | None = Field(
        default=None,
        exclude_if=lambda verdict: verdict is None,
        description="What the tenant's policy makes of a text without scores, where the tenant is known.",
    )
    failed_at: Timestamp


class Replay(Message):
    """A note that a dead letter is published again, before and after; record of the replays topic, keyed by the place."""

    version: Literal[1] = 1
    job_id: str | None
    dead_letter: Source = Field(description="The dead letter's own place.")
    published_to: str
    edited: bool
    replayed_at: Timestamp
    state: Literal["begun", "published"] = Field(
        default="published",
        exclude_if=lambda state: state == "published",
        description="begun: written before the record, and without a later note it is not known whether that was published.",
    )
