"""Records to jobs: each job of a record stands or falls alone, with its own bytes, id and place."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.preprocess.decode import Accepted, JobRecord, Rejected, decode
from schemas.base import timestamp_from_ms
from schemas.codes import Code
from schemas.ids import derived_job_id
from schemas.jobs import BULK_JOBS_MAX
from tests.support.malformed import RECORDS
from tests.support.records import BROKER_MS, job_record

BYTES_MAX = 1 << 20


def outcomes(record: JobRecord) -> list[Accepted | Rejected]:
    """Everything that `record` holds."""
    return list(decode(record, BYTES_MAX))


def refused(record: JobRecord) -> Rejected:
    """The one outcome, which is a refusal."""
    (outcome,) = outcomes(record)
    assert isinstance(outcome, Rejected)
    return outcome


def test_one_object_is_one_job() -> None:
    (outcome,) = outcomes(job_record({"job_id": "a", "text": "hello"}, partition=3, offset=9))
    assert isinstance(outcome, Accepted)
    assert (outcome.job.job_id, outcome.job.text, outcome.accepted_ms) == ("a", "hello", BROKER_MS)
    assert outcome.source.model_dump() == {"topic": "llmos.jobs", "partition": 3, "offset": 9, "index": None}


def test_an_array_is_a_job_an_element_in_order() -> None:
    found = outcomes(job_record([{"job_id": str(number), "text": "hello"} for number in range(BULK_JOBS_MAX)]))
    assert [outcome.job.job_id for outcome in found if isinstance(outcome, Accepted)] == [str(n) for n in range(BULK_JOBS_MAX)]
    assert [outcome.source.index for outcome in found] == list(range(BULK_JOBS_MAX))


@pytest.mark.parametrize(("name", "value", "code"), RECORDS)
def test_a_record_that_holds_no_jobs_is_refused_whole(name: str, value: bytes | None, code: Code) -> None:
    found = refused(job_record(value))
    assert (found.error.code, found.original, found.source.index) == (code, value, None)


def test_a_record_may_be_as_large_as_the_limit_and_no_larger() -> None:
    text = b'{"text":"hello"}'
    assert isinstance(next(decode(job_record(text), len(text))), Accepted)
    found = next(decode(job_record(text), len(text) - 1))
    assert isinstance(found, Rejected)
    assert found.error.code is Code.RECORD_TOO_LARGE


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"5", Code.INVALID_FIELD),
        (b"null", Code.INVALID_FIELD),
        (b"[]", Code.INVALID_FIELD),
        (b'[{"text":"hello"}]', Code.INVALID_FIELD),
        (b"{}", Code.MISSING_FIELD),
        (b'{"text":"a","text":5}', Code.INVALID_FIELD),
        (b'{"text":"a\xff"}', Code.INVALID_UTF8),
        (b'{"text":"a","\xff":1}', Code.INVALID_UTF8),
        (b'{"text":"a\\ud83d"}', Code.LONE_SURROGATE),
        (b'{"text":"a\\udc80"}', Code.LONE_SURROGATE),  # written out, it is no stray byte
        (b'{"text":"a","\\ud800":1}', Code.LONE_SURROGATE),
        (b'{"text":"a","metadata":{"a":NaN}}', Code.INVALID_FIELD),
        (b'{"text":"a","metadata":{"a":1e999}}', Code.INVALID_FIELD),
        (b'{"text":"a","metadata":{"a":' + b"9" * 5000 + b"}}", Code.INVALID_FIELD),
        (b'{"text":"a","metadata":{"a":' + b"[" * 500 + b"]" * 500 + b"}}", Code.INVALID_FIELD),
        (b'{"text":"a","x":' + b"[" * 900 + b"]" * 900 + b"}", Code.UNKNOWN_FIELD),
    ],
    ids=lambda value: str(value[:24]) if isinstance(value, bytes) else None,
)
def test_a_bad_job_leaves_its_neighbours_alone(bad: bytes, code: Code) -> None:
    before, found, after = outcomes(job_record(b'[{"text":"a","job_id":"1"},' + bad + b',{"text":"b","job_id":"3"}]'))
    assert isinstance(before, Accepted)
    assert isinstance(after, Accepted)
    assert (before.job.job_id, after.job.job_id) == ("1", "3")
    assert isinstance(found, Rejected)
    assert (found.error.code, found.source.index) == (code, 1)


@pytest.mark.parametrize(
    ("bad", "original"),
    [
        (b'{"job_id":"7","txt":"\\u00e9 \\u4f60"}', '{"job_id":"7","txt":"é 你"}'.encode()),
        (b'{"txt":"a\xff"}', b'{"txt":"a\xff"}'),
        (b'{"txt":"a\\udcff"}', b'{"txt":"a\\udcff"}'),
        (b'{ "txt" : 1.50 }', b'{"txt":1.5}'),
        (b'"hello"', b'"hello"'),
    ],
)
def test_the_original_of_a_job_in_an_array_is_that_job_as_compact_json(bad: bytes, original: bytes) -> None:
    found = outcomes(job_record(b'[{"text":"a"},' + bad + b"]"))[1]
    assert isinstance(found, Rejected)
    assert found.original == original


def test_half_a_pair_among_stray_bytes_is_still_written_down() -> None:
    found = outcomes(job_record(b'[{"text":"a\\ud800"},{"text":"b\xff"}]'))
    assert [json.loads(one.original or b"", strict=False) for one in found[:1] if isinstance(one, Rejected)] == [
        {"text": "a\ud800"}
    ]


@pytest.mark.parametrize("depth", [*range(960, 1000, 3), 5_000])
@pytest.mark.parametrize("around", [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
def test_no_depth_of_nesting_breaks_the_decoder(depth: int, around: tuple[bytes, bytes]) -> None:
    nested = around[0] * depth + b"1" + around[1] * depth
    for value in (nested, b'{"text":"a","x":' + nested + b"}", b'[{"text":"a"},' + nested + b"]"):
        found = outcomes(job_record(value))
        assert {one.error.code for one in found if isinstance(one, Rejected)} <= {
            *(Code.MALFORMED_JSON, Code.INVALID_FIELD, Code.UNKNOWN_FIELD, Code.MISSING_FIELD)
        }


def test_what_the_sender_left_out_comes_from_the_place_of_the_record() -> None:
    record = job_record([{"text": "a"}, {"text": "b"}], partition=2, offset=11)
    first, second = outcomes(record)
    assert isinstance(first, Accepted)
    assert isinstance(second, Accepted)
    assert first.job.job_id == derived_job_id(BROKER_MS, "llmos.jobs", 2, 11, 0) != second.job.job_id
    assert first.job.created_at == timestamp_from_ms(BROKER_MS)
    assert outcomes(record) == [first, second]


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 0, 2**63 - 1])
def test_a_time_of_any_size_is_borne(timestamp_ms: int) -> None:
    (outcome,) = outcomes(job_record({"text": "a"}, timestamp_ms=timestamp_ms))
    assert isinstance(outcome, Accepted)
    assert outcome.accepted_ms == timestamp_ms


@pytest.mark.parametrize(
    ("given_id", "kept"), [("a", "a"), ("a" * 9999, "a" * 512), ("a\ud800b", "a?b"), ("", None), (5, None), (None, None)]
)
def test_a_refused_job_keeps_its_id_as_far_as_it_can_be_written(given_id: object, kept: str | None) -> None:
    assert refused(job_record({"job_id": given_id, "txt": 1})).job_id == kept


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
jobs = st.dictionaries(st.sampled_from(["text", "job_id", "metadata", "reply_to", "x"]), json_values)


@settings(deadline=None)
@given(st.lists(jobs | json_values, min_size=1, max_size=5), st.lists(st.integers(0, 400), max_size=3))
def test_whatever_an_array_holds_each_element_has_one_outcome(values: list[Any], damaged: list[int]) -> None:
    raw = bytearray(json.dumps(values).encode())
    found = outcomes(job_record(bytes(raw)))
    assert [outcome.source.index for outcome in found] == list(range(len(values)))
    for place in damaged:
        raw[place % len(raw)] = 0xFF
    assert all(isinstance(outcome, Accepted) or outcome.error.reason.encode() for outcome in outcomes(job_record(bytes(raw))))


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_whatever_the_bytes_something_comes_of_them(value: bytes) -> None:
    assert outcomes(job_record(value))


def test_infinity_does_not_get_through() -> None:
    assert refused(job_record({"text": "a", "metadata": {"a": math.inf}})).error.code is Code.INVALID_FIELD
