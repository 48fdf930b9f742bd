"""Dead letters: any bytes survive, what is cut says so, and a letter never grows beyond what its topic takes."""

import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from pipeline.preprocess.decode import JobRecord
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.dead_letters import HEADERS_BYTES_MAX, DeadLetter, Header, Original, RawBytes, Replay, kept_headers
from schemas.work import Source
from tests.support.records import dead_letters, toy_stage

SOURCE = Source(topic="llmos.jobs", partition=0, offset=5)
AT = datetime(2026, 11, 24, 8, tzinfo=UTC)


def letter(**fields: Any) -> DeadLetter:
    """A dead letter with these fields, and others."""
    given = {"job_id": "a", "code": Code.INVALID_FIELD, "stage": "preprocess", "reason": "text: it is a number", "source": SOURCE}
    return DeadLetter(**{**given, "original": Original(), "attempts": 1, "versions": {}, "failed_at": AT, **fields})


@given(value=st.binary() | st.text().map(str.encode))
def test_any_bytes_come_back(value: bytes) -> None:
    raw = RawBytes.of(value)
    assert RawBytes.model_validate_json(raw.model_dump_json()).to_bytes() == value
    assert raw.complete
    assert raw.bytes_total == len(value)


@given(value=st.binary() | st.text().map(str.encode), bytes_max=st.integers(0, 20))
def test_what_is_cut_says_how_long_it_was(value: bytes, bytes_max: int) -> None:
    raw = RawBytes.model_validate_json(RawBytes.of(value, bytes_max).model_dump_json())
    assert raw.to_bytes() == value[:bytes_max]
    assert raw.bytes_total == len(value)
    assert raw.complete is (len(value) <= bytes_max)


@pytest.mark.parametrize(
    ("value", "encoding"),
    [
        (b"", "utf-8"),
        (b"hello", "utf-8"),
        ("你好 😀".encode(), "utf-8"),
        (b'{"text":"\\ud800"}', "utf-8"),
        (b"a few\0control\x01characters", "utf-8"),
        (b"\xff", "base64"),
        (b"\xed\xa0\x80", "base64"),  # half of a surrogate pair, as some encoders write it
        pytest.param(b"\0" * 5_000, "base64", id="mostly escapes"),
        pytest.param(b"\0" * 800, "utf-8", id="a few escapes more than base64 is readable still"),
    ],
)
def test_bytes_are_text_where_that_is_readable(value: bytes, encoding: str) -> None:
    assert RawBytes.of(value).encoding == encoding


def test_a_cut_through_a_character_falls_back_to_base64() -> None:
    assert RawBytes.of("你好".encode(), 4).encoding == "base64"


@given(value=st.binary(max_size=200).map(lambda value: value * 300))
def test_bytes_never_grow_far_beyond_base64(value: bytes) -> None:
    assert len(to_json(RawBytes.of(value).data)) <= len(base64.b64encode(value)) + 4096 + 2


@pytest.mark.parametrize("data", ["!", "abc", "a b=", "é", "YQ=="[:-1], "=", "YQ==YQ=="])
def test_what_is_no_base64_is_refused(data: str) -> None:
    with pytest.raises(ValidationError):
        RawBytes(encoding="base64", data=data, bytes_total=1)


@pytest.mark.parametrize("fields", [{"encoding": "utf-16"}, {"data": None}, {"bytes_total": -1}, {"colour": "red"}])
def test_other_raw_bytes_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RawBytes(**{"encoding": "utf-8", "data": "", "bytes_total": 0, **fields})


def test_headers_keep_their_order_their_doubles_and_their_nulls() -> None:
    given = [("b", b"1"), ("a", None), ("b", b"\xff"), ("", b"")]
    kept = kept_headers(given)
    assert [(header.name, header.value and header.value.to_bytes()) for header in kept] == given


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("h", b"\0" * 700)] * 10_000, id="values that grow as JSON"),
        pytest.param([("\0" * 700, b"")] * 10_000, id="names that grow as JSON"),
        pytest.param([("", None)] * 100_000, id="very many"),
        pytest.param([("h", b"a" * HEADERS_BYTES_MAX)], id="a large value"),
        pytest.param([("h" * HEADERS_BYTES_MAX, b"")], id="a large name"),
    ],
)
def test_headers_never_grow_a_letter_beyond_their_limit(headers: list[tuple[str, bytes | None]]) -> None:
    kept = kept_headers(headers)
    assert len(kept) < len(headers)
    assert len(to_json([header.model_dump() for header in kept])) <= HEADERS_BYTES_MAX + len(kept) + 2


def test_a_record_full_of_headers_has_a_dead_letter_that_fits_its_topic(toy_settings: Settings) -> None:
    headers = (("trace", b"a1"), *[("h", b"\0" * 700)] * 1_400)
    settings = toy_settings.model_copy(update={"record_bytes_max": 1 << 20})
    record = JobRecord("llmos.jobs", 0, 5, 0, b"\xff" * 1_000, headers, b"no job")
    (letter,) = dead_letters(toy_stage(settings).run([record]))
    assert letter.original.headers[0].name == "trace"
    assert letter.original.headers_dropped == len(headers) - len(letter.original.headers) > 0
    assert len(letter.model_dump_json()) < settings.record_bytes_max


def test_a_letter_is_read_as_it_was_written() -> None:
    original = Original(
        key=RawBytes.of(b"\xff"),
        headers=(Header(name="h", value=None), Header(name="h", value=RawBytes.of(b"1"))),
        headers_dropped=3,
        value=RawBytes.of(b"{}", 1),
    )
    written = letter(original=original, job_id=None, reply_to="llmos.replies.a")
    assert DeadLetter.model_validate_json(written.model_dump_json()) == written


def test_the_original_of_a_tombstone_is_empty() -> None:
    assert letter().original == Original(key=None, headers=(), value=None)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"code": "bad_luck"},
        {"stage": "cook"},
        {"attempts": 0},
        {"reason": None},
        {"source": {"topic": "t", "partition": -1, "offset": 0}},
        {"failed_at": 1_764_000_000},
        {"failed_at": datetime(2026, 11, 24)},  # noqa: DTZ001 (without a zone is the point)
        {"colour": "red"},
    ],
)
def test_a_letter_that_breaks_the_contract_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        letter(**fields)


def test_a_letter_must_say_whether_it_knows_the_id() -> None:
    fields = letter().model_dump(mode="json")
    del fields["job_id"]
    with pytest.raises(ValidationError, match="job_id"):
        DeadLetter.model_validate(fields)


def test_a_note_of_a_replay_is_read_as_it_was_written() -> None:
    note = Replay(job_id=None, dead_letter=SOURCE, published_to="llmos.jobs", edited=False, replayed_at=AT)
    assert Replay.model_validate_json(note.model_dump_json()) == note
    with pytest.raises(ValidationError, match="published_to"):
        Replay.model_validate({**note.model_dump(), "published_to": None})
