"""Work batches: one record of a work topic, a length bucket of token windows ready to become a tensor.

Layout, little-endian, R rows (windows), J jobs, T tokens, I bytes for a token id (2, or 4 for vocabularies above 65,536):

    offset        bytes   what
    0             4       magic "LLMW"
    4             1       version, 1
    5             1       I
    6             2       reserved, 0
    8             4       R
    12            4       J
    16            4       T
    20            4       M, bytes of the description
    24            32      SHA-256 of the tokenizer file
    56            4       CRC-32 (zlib) of bytes 0..55 and of everything from byte 60 on
    60            2·R     tokens of each window, special tokens included
    60+2R         2·J     windows of each job; they stand one after the other
    60+2R+2J      I·T     token ids of all windows, without padding
    60+2R+2J+IT   M       description: JSON of `WorkDescription`

All windows of a job stand in one record, so that the worker that scores them can fold them.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from schemas.base import Message
from schemas.bundles import Sha256
from schemas.codes import Code, Signal
from schemas.errors import MessageError
from schemas.jobs import TextJob
from schemas.policies import WordHits

MAGIC: Final = b"LLMW"
VERSION: Final = 1
_HEADER: Final = struct.Struct("<4sBBHIIII32s")
_CRC: Final = struct.Struct("<I")
_BODY_AT: Final = _HEADER.size + _CRC.size
_ID_TYPES: Final[dict[int, np.dtype[Any]]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
_LENGTH: Final = np.dtype("<u2")

Ids = npt.NDArray[np.unsignedinteger]


class Source(Message):
    """Where a message stood: the record, and the job's index in a bulk record."""

    topic: str
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    index: int | None = Field(default=None, ge=0, description="Position in a bulk array; absent for a single job.")


class WorkItem(Message):
    """One job on its way to a model, with all that later stages need."""

    job: TextJob
    language: str = Field(description="Primary subtag: the hint's, else the detected one, else und.")
    signals: tuple[Signal, ...] = ()
    tokens_total: int = Field(ge=1, description="Tokens of the normalised text, without special tokens.")
    source: Source
    accepted_ms: int = Field(description="Unix milliseconds: the job's record reached the broker.")
    received_ms: int = Field(description="Unix milliseconds: preprocess took it up.")
    tried: int = Field(default=0, ge=0, exclude_if=lambda tried: tried == 0, description="Tries before it was replayed.")
    words: WordHits | None = Field(
        default=None, exclude_if=lambda words: words is None, description="What the text holds of the policy's word lists."
    )
    words_policy: Sha256 | None = Field(
        default=None,
        exclude_if=lambda policy: policy is None,
        description="Checksum of the policy whose lists were looked for; another policy's lists must be looked for anew.",
    )
    traceparent: str | None = Field(
        default=None,
        exclude_if=lambda traceparent: traceparent is None,
        description="The job's place in a trace, as W3C Trace Context writes it; absent where it is not traced.",
    )


class WorkDescription(Message):
    """The JSON part of a work batch."""

    version: Literal[1] = 1
    packed_ms: int = Field(description="Unix milliseconds: preprocess finished the batch.")
    items: tuple[WorkItem, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class WorkBatch:
    """Items with their token windows: `lengths` [R] and `windows` [J] are uint16, `tokens` [T] unsigned, windows back to back."""

    tokenizer_sha256: str
    description: WorkDescription
    windows: Ids
    lengths: Ids
    tokens: Ids


def pack(tokenizer_sha256: str, description: WorkDescription, windows: Sequence[Sequence[Ids]]) -> bytes:
    """The record for `description.items`, whose i-th item has the token windows `windows[i]` (arrays of one unsigned type)."""
    rows = [row for item in windows for row in item]
    assert len(windows) == len(description.items), "one list of windows an item"
    tokens = np.concatenate(rows)
    body = b"".join(
        (
            np.array([len(row) for row in rows], _LENGTH).tobytes(),
            np.array([len(item) for item in windows], _LENGTH).tobytes(),
            tokens.astype(_ID_TYPES[tokens.itemsize], copy=False).tobytes(),
            text := description.__pydantic_serializer__.to_json(description),
        )
    )
    digest = bytes.fromhex(tokenizer_sha256)
    header = _HEADER.pack(MAGIC, VERSION, tokens.itemsize, 0, len(rows), len(windows), len(tokens), len(text), digest)
    return header + _CRC.pack(zlib.crc32(body, zlib.crc32(header))) + body


class _Head(NamedTuple):
    magic: bytes
    version: int
    id_width: int
    reserved: int
    rows: int
    jobs: int
    tokens: int
    description_bytes: int
    tokenizer: bytes

    @property
    def record_bytes(self) -> int:
        return _BODY_AT + 2 * self.rows + 2 * self.jobs + self.id_width * self.tokens + self.description_bytes


def unpack(record: bytes) -> WorkBatch:
    """The batch in `record`; raises MessageError (work_corrupt, unsupported_version) unless every byte is as written."""
    if len(record) < _BODY_AT or record[:4] != MAGIC:
        raise MessageError(Code.WORK_CORRUPT, "not a work batch")
    head = _Head(*_HEADER.unpack_from(record))
    if head.version != VERSION:
        raise MessageError(Code.UNSUPPORTED_VERSION, f"work batch version {head.version} is not known")
    (crc,) = _CRC.unpack_from(record, _HEADER.size)
    if crc != zlib.crc32(memoryview(record)[_BODY_AT:], zlib.crc32(record[: _HEADER.size])):
        raise MessageError(Code.WORK_CORRUPT, "checksum does not match: truncated or damaged")
    if head.id_width not in _ID_TYPES or len(record) != head.record_bytes:
        raise MessageError(Code.WORK_CORRUPT, "counts and size disagree")
    return _read(record, head)


def _read(record: bytes, head: _Head) -> WorkBatch:
    lengths = np.frombuffer(record, _LENGTH, head.rows, _BODY_AT)
    windows = np.frombuffer(record, _LENGTH, head.jobs, _BODY_AT + lengths.nbytes)
    ids_at = _BODY_AT + lengths.nbytes + windows.nbytes
    ids = np.frombuffer(record, _ID_TYPES[head.id_width], head.tokens, ids_at)
    try:
        description = WorkDescription.model_validate_json(record[ids_at + ids.nbytes :])
    except ValidationError as error:
        raise MessageError(Code.WORK_CORRUPT, "the description does not fit its schema") from error
    counted = len(description.items) == head.jobs and windows.sum() == head.rows and lengths.sum() == head.tokens
    if not (counted and windows.all() and lengths.all()):
        raise MessageError(Code.WORK_CORRUPT, "counts and contents disagree")
    return WorkBatch(head.tokenizer.hex(), description, windows, lengths, ids)
