"""What a job may be, and which code and path a job gets that may not."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from schemas.base import timestamp_from_ms
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.jobs import (
    ID_CHARACTERS_MAX,
    METADATA_BYTES_MAX,
    METADATA_DEPTH_MAX,
    PATH_CHARACTERS_MAX,
    TEXT_BYTES_MAX,
    TextJob,
    parse_job,
)


def refusal(**fields: Any) -> MessageError:
    """Why a job with `fields` is refused."""
    with pytest.raises(MessageError) as caught:
        parse_job({"text": "hello", **fields})
    return caught.value


def nested(levels: int) -> dict[str, Any]:
    """Metadata of that many objects, one inside the other."""
    value: Any = 1
    for _ in range(levels):
        value = {"in": value}
    return dict(value)


def test_text_alone_makes_a_job() -> None:
    before = datetime.now(UTC)
    job = parse_job({"text": "hello"})
    assert (job.version, job.task, job.tenant) == (1, "moderation", "default")
    assert (job.language, job.reply_to, job.deadline, job.metadata) == (None, None, None, {})
    assert before <= job.created_at <= datetime.now(UTC)


def test_a_job_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TextJob(text="hello").text = "other"


@pytest.mark.parametrize(
    "text",
    [
        *("a", "\0", " \0 ", "\u200b", "你好"),
        pytest.param("😀" * (TEXT_BYTES_MAX // 4), id="1 MiB of emoji"),
        pytest.param("a" * TEXT_BYTES_MAX, id="1 MiB of letters"),
    ],
)
def test_text_is_kept_as_it_is(text: str) -> None:
    assert parse_job({"text": text}).text == text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", Code.EMPTY_TEXT),
        (" \t\n\u3000\u2003", Code.EMPTY_TEXT),
        pytest.param("a" * (TEXT_BYTES_MAX + 1), Code.TEXT_TOO_LONG, id="one letter more"),
        pytest.param("é" * (TEXT_BYTES_MAX // 2) + "a", Code.TEXT_TOO_LONG, id="half as many letters"),
        ("half \ud83d of a pair", Code.LONE_SURROGATE),
        (None, Code.INVALID_FIELD),
        (5, Code.INVALID_FIELD),
        (["hello"], Code.INVALID_FIELD),
    ],
)
def test_a_bad_text_has_its_code(text: object, code: Code) -> None:
    found = refusal(text=text)
    assert found.code is code
    assert "text" in found.reason


def test_a_job_without_text_names_the_field() -> None:
    with pytest.raises(MessageError) as caught:
        parse_job({"job_id": "a"})
    assert (caught.value.code, caught.value.path) == (Code.MISSING_FIELD, "text")
    assert caught.value.reason.startswith("text: ")


@pytest.mark.parametrize("job_id", ["a", "a" * ID_CHARACTERS_MAX, "名" * ID_CHARACTERS_MAX, "with space", "\u200bz", "😀"])
def test_an_id_may_hold_any_characters_that_show(job_id: str) -> None:
    assert parse_job({"text": "hello", "job_id": job_id}).job_id == job_id


@pytest.mark.parametrize("job_id", ["", "a" * (ID_CHARACTERS_MAX + 1), "a\nb", "\0", "a\x7f", "a\x85b", None, 7, ["a"], {}])
def test_a_bad_id_is_refused(job_id: object) -> None:
    found = refusal(job_id=job_id)
    assert found.code is Code.INVALID_ID
    assert "job_id" in found.reason


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("version", 2, Code.UNSUPPORTED_VERSION),
        ("version", "1", Code.UNSUPPORTED_VERSION),
        ("version", None, Code.UNSUPPORTED_VERSION),
        ("version", 10**40, Code.UNSUPPORTED_VERSION),
        ("task", "a" * 65, Code.INVALID_FIELD),
        ("task", None, Code.INVALID_FIELD),
        ("tenant", "", Code.INVALID_FIELD),
        ("tenant", "a" * 129, Code.INVALID_FIELD),
        ("tenant", 1, Code.INVALID_FIELD),
        ("language", "english!", Code.INVALID_FIELD),
        ("language", "e", Code.INVALID_FIELD),
        ("language", "en-" + "a" * 9, Code.INVALID_FIELD),
        ("language", "en\n", Code.INVALID_FIELD),
        ("language", "en" + "-abcdefgh" * 4, Code.INVALID_FIELD),
        ("reply_to", "", Code.INVALID_FIELD),
        ("reply_to", "no/slash", Code.INVALID_FIELD),
        ("reply_to", "a" * 250, Code.INVALID_FIELD),
        ("metadata", None, Code.INVALID_FIELD),
        ("metadata", ["a"], Code.INVALID_FIELD),
        ("colour", "red", Code.UNKNOWN_FIELD),
        ("Text", "hello", Code.UNKNOWN_FIELD),
    ],
)
def test_a_bad_field_is_named_with_its_code(field: str, value: object, code: Code) -> None:
    found = refusal(**{field: value})
    assert (found.code, found.path) == (code, field)
    assert found.reason.startswith(f"{field}: ")


@pytest.mark.parametrize("field", ["created_at", "deadline"])
@pytest.mark.parametrize(
    "value",
    [
        *(1_764_000_000, 1.5, True, "1764000000", "-1764000000", "+17", "17.5", ".5"),  # seconds or milliseconds: a guess
        *("2026-11-24T08:00:00", "2026-11-24"),  # in which zone?
        *("", "yesterday", "2026-13-01T00:00:00Z", "2026-11-24T25:00:00Z", "99999-01-01T00:00:00Z", {}, []),
    ],
)
def test_a_time_is_text_with_a_zone(field: str, value: object) -> None:
    found = refusal(**{field: value})
    assert (found.code, found.path) == (Code.INVALID_FIELD, field)


@pytest.mark.parametrize("value", ["2026-11-24T08:00:00Z", "2026-11-24T16:00:00+08:00", "2026-11-24 08:00:00.000Z"])
def test_a_time_in_any_zone_is_the_same_time(value: str) -> None:
    assert parse_job({"text": "hello", "created_at": value}).created_at == datetime(2026, 11, 24, 8, tzinfo=UTC)


@pytest.mark.parametrize("field", ["job_id", "task", "tenant", "language", "reply_to", "created_at", "deadline"])
def test_half_of_a_surrogate_pair_is_refused_in_every_field(field: str) -> None:
    found = refusal(**{field: "\ud800"})
    assert (found.code, found.path) == (Code.LONE_SURROGATE, field)


@pytest.mark.parametrize("metadata", [{"\ud800": 1}, {"a": "\udc00"}, {"a": ["b", {"c": "\ud800"}]}])
def test_half_of_a_surrogate_pair_is_refused_anywhere_in_metadata(metadata: dict[str, Any]) -> None:
    assert refusal(metadata=metadata).code is Code.LONE_SURROGATE


def test_a_field_called_by_half_of_a_surrogate_pair_gives_a_reason_that_can_be_written() -> None:
    found = refusal(**{"\ud800": 1})
    assert found.code is Code.LONE_SURROGATE
    assert found.reason.encode()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_cannot_hold_are_refused(number: float) -> None:
    assert refusal(metadata={"a": [{"b": number}]}).code is Code.INVALID_FIELD


def test_metadata_may_be_nested_so_deep_and_no_deeper() -> None:
    assert parse_job({"text": "hello", "metadata": nested(METADATA_DEPTH_MAX)}).metadata == nested(METADATA_DEPTH_MAX)
    for levels in (METADATA_DEPTH_MAX + 1, 300, 900):
        found = refusal(metadata=nested(levels))
        assert found.code is Code.INVALID_FIELD
        assert "metadata" in found.reason
        assert len(found.path) < 50, "a path of spite is cut"


@pytest.mark.parametrize("letter", ["a", "é", "\n"])
def test_metadata_is_measured_as_compact_json(letter: str) -> None:
    letters = (METADATA_BYTES_MAX - len('{"a":""}')) // len(to_json(letter)[1:-1])
    assert len(to_json({"a": letter * letters})) > METADATA_BYTES_MAX - 3
    parse_job({"text": "hello", "metadata": {"a": letter * letters}})
    assert refusal(metadata={"a": letter * (letters + 1)}).code is Code.METADATA_TOO_LARGE


def test_a_path_is_cut_however_long_a_name_is() -> None:
    found = refusal(**{"x" * 10_000: 1})
    assert found.code is Code.UNKNOWN_FIELD
    assert len(found.path) == PATH_CHARACTERS_MAX


@pytest.mark.parametrize("value", [None, 5, "hello", ["hello"], True, 1.5])
def test_what_is_no_object_is_no_job(value: object) -> None:
    with pytest.raises(MessageError, match="a job is a JSON object") as caught:
        parse_job(value)
    assert caught.value.code is Code.INVALID_FIELD


def test_an_error_never_holds_the_text_itself() -> None:
    found = refusal(text="my secret", language="my secret", colour="my secret", metadata="my secret")
    assert "secret" not in f"{found.reason} {found.path} {found.__cause__}"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can hold; hypothesis makes no surrogates in text."""


@settings(deadline=None)
@given(
    text=st.text(min_size=1).filter(lambda text: not text.isspace()),
    created_at=st.datetimes(timezones=st.just(UTC)),
    metadata=st.dictionaries(st.text(), json_values, max_size=3),
)
def test_what_is_written_reads_as_the_same_job(text: str, created_at: datetime, metadata: dict[str, Any]) -> None:
    job = TextJob(text=text, created_at=created_at, metadata=metadata)
    written = job.model_dump_json()
    assert TextJob.model_validate_json(written) == job
    assert parse_job(json.loads(written)) == job


@settings(deadline=None)
@given(value=st.dictionaries(st.sampled_from([*TextJob.model_fields, "colour"]), json_values))
def test_any_object_is_a_job_or_a_message_error(value: dict[str, Any]) -> None:
    try:
        assert parse_job(value).text == value["text"]
    except MessageError as error:
        error.reason.encode()


@pytest.mark.parametrize(
    ("unix_ms", "moment"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_795_507_200_250, datetime(2026, 11, 24, 8, tzinfo=UTC) + timedelta(milliseconds=250)),
        (-1, datetime(1970, 1, 1, tzinfo=UTC)),  # Kafka's "no time"
        (-(2**63), datetime(1970, 1, 1, tzinfo=UTC)),
        (2**63 - 1, datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    ],
)
def test_a_time_beyond_all_calendars_is_the_nearest_within(unix_ms: int, moment: datetime) -> None:
    assert abs(timestamp_from_ms(unix_ms) - moment) < timedelta(milliseconds=1)
