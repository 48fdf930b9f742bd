"""Job records to jobs: bytes become objects once, here, and whatever is wrong with one job touches no other.

In: a record's bytes and place. Out: jobs in the record's order, each accepted or rejected with its own original bytes.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core

from pipeline.replay_headers import given_job_id, tried_before
from schemas.base import timestamp_from_ms
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.ids import derived_job_id
from schemas.jobs import BULK_JOBS_MAX, ID_CHARACTERS_MAX, TextJob, parse_job
from schemas.work import Source


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A record of the jobs topic; `timestamp_ms` is when the broker took it."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    traceparent: str | None = None
    """The span that stands for it here, where it is traced."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job that is well formed."""

    job: TextJob
    source: Source
    accepted_ms: int
    tried: int = 0
    """Tries before the job was replayed."""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A job, or a whole record, that is not; `original` is that job's own bytes."""

    error: MessageError
    record: JobRecord
    source: Source
    original: bytes | None
    job_id: str | None
    reply_to: str | None = None
    tenant: str | None = None


def decode(record: JobRecord, record_bytes_max: int) -> Iterator[Accepted | Rejected]:
    """What `record` holds; never raises for what strangers may send."""
    try:
        values, stray = _values(record.value, record_bytes_max)
    except MessageError as error:
        yield Rejected(error, record, _source(record, None), record.value, None)
        return
    if isinstance(values, list):
        yield from (_decode_one(record, value, index, stray) for index, value in enumerate(values))
    else:
        yield _decode_one(record, values, None, stray)


def _values(value: bytes | None, record_bytes_max: int) -> tuple[Any, bool]:
    """What the JSON holds, and whether half pairs in its strings stand for stray bytes."""
    if not value:
        raise MessageError(Code.EMPTY_RECORD, "the record has no value")
    if len(value) > record_bytes_max:
        raise MessageError(Code.RECORD_TOO_LARGE, f"{len(value):,} bytes are more than {record_bytes_max:,}")
    try:
        values, stray = pydantic_core.from_json(value, allow_inf_nan=False), False
    except ValueError:
        values, stray = _lenient_values(value), not _is_utf8(value)
    if isinstance(values, list) and not 1 <= len(values) <= BULK_JOBS_MAX:
        raise MessageError(Code.BULK_TOO_LONG, f"an array holds 1 to {BULK_JOBS_MAX} jobs, not {len(values)}")
    return values, stray


def _lenient_values(value: bytes) -> Any:  # noqa: ANN401
    # The fast parser refuses a whole array for one bad byte, half a surrogate pair or NaN; this one lets them through, marked,
    # so that only the job that holds them is refused.
    try:
        return json.loads(value.decode("utf-8", "surrogateescape"), parse_int=_integer)
    except (ValueError, RecursionError) as error:
        if not _is_utf8(value):
            raise MessageError(Code.INVALID_UTF8, "the bytes are not UTF-8") from error
        raise MessageError(Code.MALFORMED_JSON, f"not JSON: {error}") from error


def _integer(digits: str) -> int | float:
    """An integer; infinity, which every field refuses, where it has more digits than Python converts."""
    try:
        return int(digits)
    except ValueError:
        return math.inf


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _decode_one(record: JobRecord, value: Any, index: int | None, stray: bool) -> Accepted | Rejected:  # noqa: ANN401, FBT001
    source = _source(record, index)
    given = value if isinstance(value, dict) else {}
    try:
        job = parse_job(_completed(given, record, index) if given else value)
    except MessageError as error:
        original = record.value if index is None else _dump(value, "surrogateescape" if stray else "strict")
        job_id = _text(given.get("job_id")) or _known(record, index)
        tenant = _tenant(given) if given else None
        return Rejected(_utf8_error(error, original), record, source, original, job_id, tenant=tenant)
    return Accepted(job, source, record.timestamp_ms, tried_before(record.headers), record.traceparent)


def _completed(given: dict[str, Any], record: JobRecord, index: int | None) -> dict[str, Any]:
    """What the sender left out, filled in from the record's place, so that a replay fills in the same."""
    filled = dict(given)
    if "job_id" not in given:
        place = record.topic, record.partition, record.offset, index or 0
        filled["job_id"] = _known(record, index) or derived_job_id(record.timestamp_ms, *place)
    if "created_at" not in given:
        filled["created_at"] = timestamp_from_ms(record.timestamp_ms)
    return filled


def _known(record: JobRecord, index: int | None) -> str | None:
    """The id that a replay knows; an array holds other jobs than the one that was replayed."""
    return given_job_id(record.headers) if index is None else None


def _utf8_error(error: MessageError, original: bytes | None) -> MessageError:
    if error.code is Code.LONE_SURROGATE and original is not None and not _is_utf8(original):
        return MessageError(Code.INVALID_UTF8, "the bytes of this job are not UTF-8", error.path)
    return error


def _dump(value: Any, half_pairs: str) -> bytes:  # noqa: ANN401
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", half_pairs)
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def _text(value: object) -> str | None:
    """A job id as far as it can be written down at all; one that is too long is refused, and here cut."""
    if not isinstance(value, str) or not value:
        return None
    return value[: 2 * ID_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def _tenant(given: Mapping[str, Any]) -> str | None:
    tenant = given.get("tenant", TextJob.model_fields["tenant"].default)
    return tenant if isinstance(tenant, str) else None


def _source(record: JobRecord, index: int | None) -> Source:
    return Source(topic=record.topic, partition=record.partition, offset=record.offset, index=index)
