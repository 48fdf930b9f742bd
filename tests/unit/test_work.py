"""Work batches: what is packed comes out again, and what is damaged in any way is refused with a code."""

import hashlib
import struct
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.codes import Code
from schemas.errors import MessageError
from schemas.jobs import TextJob
from schemas.work import Source, WorkDescription, WorkItem, pack, unpack

SHA256 = hashlib.sha256(b"tokenizer").hexdigest()
MADE = datetime(2026, 11, 24, 8, tzinfo=UTC)


def item(number: int, text: str = "hello") -> WorkItem:
    """A job on its way."""
    job = TextJob(job_id=f"job-{number}", text=text, created_at=MADE)
    source = Source(topic="llmos.jobs", partition=0, offset=number)
    return WorkItem(job=job, language="en", tokens_total=1, source=source, accepted_ms=1, received_ms=2)


def packed(windows: Sequence[Sequence[Sequence[int]]], id_type: Any = np.uint16) -> bytes:
    """The record of jobs with these windows of token ids."""
    items = tuple(item(number) for number in range(len(windows)))
    rows = [[np.array(window, id_type) for window in job] for job in windows]
    return pack(SHA256, WorkDescription(packed_ms=3, items=items), rows)


SMALL = packed([[[0, 7, 2]], [[0, 8, 9, 2], [0, 2]]])
"""Two jobs, three windows, nine tokens."""


def mended(record: bytes) -> bytes:
    """`record` with a checksum that is right: as a program of ill will, or one with a bug, would write it."""
    return record[:56] + struct.pack("<I", zlib.crc32(record[60:], zlib.crc32(record[:56]))) + record[60:]


def refusal(record: bytes) -> Code:
    """The code with which `record` is refused."""
    with pytest.raises(MessageError) as caught:
        unpack(record)
    return caught.value.code


def test_a_small_batch_comes_out_as_it_went_in() -> None:
    batch = unpack(SMALL)
    assert batch.tokenizer_sha256 == SHA256
    assert (batch.windows.tolist(), batch.lengths.tolist()) == ([1, 2], [3, 4, 2])
    assert batch.tokens.tolist() == [0, 7, 2, 0, 8, 9, 2, 0, 2]
    assert [one.job.job_id for one in batch.description.items] == ["job-0", "job-1"]


def test_the_bytes_lie_where_the_layout_says() -> None:
    magic, version, id_bytes, reserved, rows, jobs, tokens, description = struct.unpack_from("<4sBBHIIII", SMALL)
    assert (magic, version, id_bytes, reserved, rows, jobs, tokens) == (b"LLMW", 1, 2, 0, 3, 2, 9)
    assert SMALL[24:56].hex() == SHA256
    assert struct.unpack_from("<3H2H9H", SMALL, 60) == (3, 4, 2, 1, 2, 0, 7, 2, 0, 8, 9, 2, 0, 2)
    assert SMALL[60 + 28 :][:description].startswith(b'{"version":1,')
    assert len(SMALL) == 60 + 28 + description


windows = st.lists(
    st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=12), min_size=1, max_size=3), min_size=1, max_size=5
)


@settings(deadline=None)
@given(windows=windows, id_type=st.sampled_from([np.uint16, np.uint32]))
def test_any_batch_comes_out_as_it_went_in(windows: list[list[list[int]]], id_type: Any) -> None:
    batch = unpack(packed(windows, id_type))
    assert batch.windows.tolist() == [len(job) for job in windows]
    assert batch.lengths.tolist() == [len(window) for job in windows for window in job]
    assert batch.tokens.tolist() == [token for job in windows for window in job for token in window]
    assert batch.tokens.dtype == id_type


@settings(deadline=None)
@given(texts=st.lists(st.text(min_size=1).filter(lambda text: not text.isspace()), min_size=1, max_size=4))
def test_any_text_rides_along_untouched(texts: list[str]) -> None:
    items = tuple(item(number, text) for number, text in enumerate(texts))
    rows = [[np.array([0, 2], np.uint16)]] * len(texts)
    assert unpack(pack(SHA256, WorkDescription(packed_ms=3, items=items), rows)).description.items == items


def test_ids_beyond_16_bits_keep_their_value() -> None:
    assert unpack(packed([[[0, 250_001, 2**32 - 1]]], np.uint32)).tokens.tolist() == [0, 250_001, 2**32 - 1]


def test_a_batch_truncated_anywhere_is_refused() -> None:
    assert {refusal(SMALL[:length]) for length in range(len(SMALL))} == {Code.WORK_CORRUPT}


def test_a_batch_with_any_single_bit_flipped_is_refused() -> None:
    codes = {
        place: refusal(SMALL[:place] + bytes([SMALL[place] ^ 1 << bit]) + SMALL[place + 1 :])
        for place in range(len(SMALL))
        for bit in range(8)
    }
    assert {place for place, code in codes.items() if code is not Code.WORK_CORRUPT} == {4}
    assert codes[4] is Code.UNSUPPORTED_VERSION


@pytest.mark.parametrize("record", [b"", b"L", b"LLMW", b"\0" * 60, b'{"text":"hello"}' * 10, SMALL + b"\0", SMALL + SMALL])
def test_what_is_no_batch_is_refused(record: bytes) -> None:
    assert refusal(record) is Code.WORK_CORRUPT


def header(**changes: Any) -> bytes:
    """The small batch with other values in its header, and a checksum that is right."""
    names = ("magic", "version", "id_bytes", "reserved", "rows", "jobs", "tokens", "description", "tokenizer")
    values = dict(zip(names, struct.unpack_from("<4sBBHIIII32s", SMALL), strict=True)) | changes
    return mended(struct.pack("<4sBBHIIII32s", *values.values()) + SMALL[56:])


def test_the_helper_itself_damages_nothing() -> None:
    assert header() == SMALL


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"magic": b"LLMX"}, Code.WORK_CORRUPT),
        ({"version": 2}, Code.UNSUPPORTED_VERSION),
        ({"version": 0}, Code.UNSUPPORTED_VERSION),
        ({"id_bytes": 0}, Code.WORK_CORRUPT),
        ({"id_bytes": 1}, Code.WORK_CORRUPT),
        ({"id_bytes": 4}, Code.WORK_CORRUPT),
        ({"id_bytes": 8}, Code.WORK_CORRUPT),
        ({"rows": 0}, Code.WORK_CORRUPT),
        ({"rows": 2**32 - 1}, Code.WORK_CORRUPT),
        ({"rows": 4, "jobs": 1}, Code.WORK_CORRUPT),  # the size agrees, the counts do not
        ({"jobs": 0}, Code.WORK_CORRUPT),
        ({"jobs": 1, "tokens": 10}, Code.WORK_CORRUPT),
        ({"tokens": 0}, Code.WORK_CORRUPT),
        ({"tokens": 2**32 - 1}, Code.WORK_CORRUPT),
        ({"rows": 5, "tokens": 7}, Code.WORK_CORRUPT),
        ({"description": 0}, Code.WORK_CORRUPT),
        ({"description": 2**32 - 1}, Code.WORK_CORRUPT),
    ],
)
def test_a_header_that_lies_with_a_right_checksum_is_refused(changes: dict[str, Any], code: Code) -> None:
    assert refusal(header(**changes)) is code


def test_a_batch_of_another_tokenizer_tells_which() -> None:
    assert unpack(header(tokenizer=b"\xab" * 32)).tokenizer_sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (60, 0),  # a window without tokens
        (60, 4),  # windows with more tokens than there are
        (66, 0),  # a job without windows
        (66, 2),  # jobs with more windows than there are
    ],
)
def test_counts_that_do_not_add_up_are_refused(place: int, value: int) -> None:
    assert refusal(mended(SMALL[:place] + struct.pack("<H", value) + SMALL[place + 2 :])) is Code.WORK_CORRUPT


def with_description(text: bytes) -> bytes:
    """The small batch with another description."""
    return mended(SMALL[:20] + struct.pack("<I", len(text)) + SMALL[24:88] + text)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 5_000,
        b'{"packed_ms":1,"items":[]}',
        b'{"packed_ms":"' + b"9" * 5_000 + b'","items":[]}',
        SMALL[88:].replace(b'"version":1,"packed_ms"', b'"version":2,"packed_ms"'),
        SMALL[88:].replace(b'"hello"', b'""', 1),  # a job without text
        SMALL[88:].replace(b'"hello"', b'"\\ud800"', 1),
        SMALL[88:].replace(b'"offset":1', b'"offset":-1'),
    ],
)
def test_a_description_that_does_not_fit_is_refused(text: bytes) -> None:
    assert text != SMALL[88:]
    assert refusal(with_description(text)) is Code.WORK_CORRUPT


def test_a_description_of_more_jobs_than_the_header_counts_is_refused() -> None:
    three = WorkDescription(packed_ms=3, items=tuple(item(number) for number in range(3)))
    assert refusal(with_description(three.model_dump_json().encode())) is Code.WORK_CORRUPT
    assert unpack(with_description(SMALL[88:])), "the helper itself damages nothing"


@settings(deadline=None)
@given(noise=st.binary(max_size=200), place=st.integers(0, len(SMALL)), mend=st.booleans())
def test_noise_is_refused_or_read_and_never_another_error(noise: bytes, place: int, *, mend: bool) -> None:
    record = SMALL[:place] + noise + SMALL[place + len(noise) :]
    try:
        batch = unpack(mended(record) if mend and len(record) >= 60 else record)
    except MessageError:
        return
    assert batch.windows.sum() == len(batch.lengths)
    assert batch.lengths.sum() == len(batch.tokens)
    assert len(batch.windows) == len(batch.description.items)


def test_unpacking_copies_no_tokens() -> None:
    assert not unpack(SMALL).tokens.flags.owndata


def test_windows_and_items_of_different_number_are_a_bug() -> None:
    with pytest.raises(AssertionError, match="one list of windows an item"):
        pack(SHA256, WorkDescription(packed_ms=3, items=(item(0),)), [])


@pytest.mark.parametrize("fields", [{"partition": -1}, {"offset": -1}, {"index": -1}, {"colour": "red"}])
def test_a_place_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Source(**{"topic": "llmos.jobs", "partition": 0, "offset": 0, **fields})


def test_a_batch_packed_again_is_the_same() -> None:
    batch = unpack(SMALL)
    rows = np.split(batch.tokens, np.cumsum(batch.lengths)[:-1])
    assert pack(batch.tokenizer_sha256, batch.description, [rows[:1], rows[1:]]) == SMALL
