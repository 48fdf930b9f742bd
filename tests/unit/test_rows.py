"""Files to jobs: every row is a job or a refusal with its line, and no row harms another."""

import io
import json
from typing import Any

import pytest

from pipeline.preprocess.decode import Accepted, JobRecord, decode
from pipeline.rows import Columns, Format, Refused, Row, read_rows
from schemas.codes import Code
from schemas.errors import ConfigurationError

LIMIT = 1_000


def read(content: bytes | str, format_: Format = "jsonl", columns: Columns | None = None) -> list[Row | Refused]:
    """All rows of a file with this content."""
    file = io.BytesIO(content.encode() if isinstance(content, str) else content)
    return list(read_rows(file, format_, columns or Columns(), LIMIT))


def texts(rows: list[Row | Refused]) -> list[tuple[int, str]]:
    """Line and text of each row; fails where one is refused."""
    assert all(isinstance(row, Row) for row in rows), rows
    return [(row.line, row.job.text) for row in rows if isinstance(row, Row)]


def refusals(rows: list[Row | Refused]) -> list[tuple[int, Code]]:
    """Line and code of each refusal."""
    return [(row.line, row.error.code) for row in rows if isinstance(row, Refused)]


def test_json_lines_are_jobs_with_their_line_numbers() -> None:
    rows = read('{"text":"a","job_id":"one"}\n\n  \t\n{"text":"b"}')
    assert texts(rows) == [(1, "a"), (4, "b")]
    assert isinstance(rows[0], Row)
    assert rows[0].job.job_id == "one"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("format_", ["jsonl", "csv", "text"])
def test_a_byte_order_mark_is_no_text(format_: Format, ending: str) -> None:
    content = {"jsonl": '{"text":"a"}', "csv": f"text{ending}a", "text": "a"}[format_]
    ((_, text),) = texts(read(f"\ufeff{content}{ending}", format_))
    assert text == "a"
    assert read("\ufeff", "text") == read("\ufeff", "jsonl") == []


def test_a_byte_order_mark_further_on_is_text() -> None:
    assert texts(read("a\n\ufeffb\n", "text")) == [(1, "a"), (2, "\ufeffb")]


def test_only_a_line_feed_ends_a_line() -> None:
    text = "a\u2028b\u2029c\u0085d\v\f\x1c\x1e"
    assert texts(read(json.dumps({"text": text}, ensure_ascii=False) + "\n" + '{"text":"b"}')) == [(1, text), (2, "b")]
    assert texts(read(f"{text}\r\nb\n", "text")) == [(1, text), (2, "b")]
    assert texts(read(f"text\r\n{text}\r\nb", "csv")) == [(2, text), (3, "b")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"hello", Code.MALFORMED_JSON),
        (b'{"text":"a"', Code.MALFORMED_JSON),
        (b'{"text":"a"}{"text":"b"}', Code.MALFORMED_JSON),
        (b'{"text":"a","metadata":{"n":NaN}}', Code.MALFORMED_JSON),
        (b'{"text":"\\ud800"}', Code.MALFORMED_JSON),
        (b'{"text":"\xff"}', Code.INVALID_UTF8),
        (b'{"text":""}', Code.EMPTY_TEXT),
        (b'{"txt":"a"}', Code.MISSING_FIELD),
        (b'{"text":"a","colour":"red"}', Code.UNKNOWN_FIELD),
        (b'{"text":"a","job_id":""}', Code.INVALID_ID),
        (b'"a"', Code.INVALID_FIELD),
        (b"null", Code.INVALID_FIELD),
    ],
)
def test_a_bad_line_is_refused_whole_and_alone(line: bytes, code: Code) -> None:
    rows = read(b'{"text":"before"}\n' + line + b'\n{"text":"after"}\n')
    assert [type(row) for row in rows] == [Row, Refused, Row]
    assert refusals(rows) == [(2, code)]
    assert isinstance(rows[1], Refused)
    assert rows[1].raw == line


@pytest.mark.parametrize(
    ("line", "format_"),
    [
        (b'[{"text":"a"}]', "jsonl"),
        (b' [{"text":"a"},{"text":"\xff"}]', "jsonl"),
        (b' [{"text":"a"},{"text":"\xff"}]', "text"),
        (b'[{"text":"a"},{"text":"a","metadata":{"n":NaN}}]', "jsonl"),
    ],
)
def test_an_array_in_a_line_is_not_published_as_it_is(line: bytes, format_: Format) -> None:
    # It is the bulk form: the pipeline would take its jobs, and nobody would wait for them.
    (row,) = read(line, format_)
    assert isinstance(row, Refused)
    assert row.raw is None


@pytest.mark.parametrize("format_", ["jsonl", "text"])
def test_a_line_that_is_too_long_is_refused_and_read_past(format_: Format) -> None:
    good = b'{"text":"b"}' if format_ == "jsonl" else b"b"
    for length in (LIMIT, LIMIT + 1, 2 * LIMIT, 5 * LIMIT + 7):
        rows = read(good + b"\n" + b"a" * length + b"\n" + good + b"\n", format_)
        assert refusals(rows) == [(2, Code.RECORD_TOO_LARGE)]
        assert texts([row for row in rows if isinstance(row, Row)]) == [(1, "b"), (3, "b")]
    assert refusals(read(b"a" * (LIMIT + 1), format_)) == [(1, Code.RECORD_TOO_LARGE)]
    assert texts(read(b"a" * (LIMIT - 1) + b"\nb", "text")) == [(1, "a" * (LIMIT - 1)), (2, "b")]


def test_a_byte_order_mark_counts_as_part_of_a_long_line() -> None:
    rows = read(b"\xef\xbb\xbf" + b"a" * (LIMIT - 1) + b"\nb\n", "text")
    assert refusals(rows) == [(1, Code.RECORD_TOO_LARGE)]
    assert texts(rows[1:]) == [(2, "b")]


class Torrent:
    """A file of one line after the first that goes on for a thousand pieces, and insists on being read in pieces."""

    def __init__(self, first: bytes) -> None:
        self._pieces = iter([first, *[b"a" * (LIMIT + 1)] * 1_000])

    def readline(self, size: int) -> bytes:
        """The next piece."""
        assert 0 < size <= LIMIT + 1, "a line is read without a bound"
        return next(self._pieces, b"")[:size]


@pytest.mark.parametrize("format_", ["jsonl", "csv", "text"])
def test_a_line_is_never_read_whole_before_it_is_measured(format_: Format) -> None:
    file: Any = Torrent(b'{"text":"text"}\n' if format_ == "jsonl" else b"text\n")
    rows = list(read_rows(file, format_, Columns(), LIMIT))
    assert refusals(rows) == [(2, Code.RECORD_TOO_LARGE)]


def test_plain_lines_are_texts_and_nothing_in_them_is_read() -> None:
    assert texts(read('{"text":"a"}\n  indented\n\n"b",c\r\n', "text")) == [(1, '{"text":"a"}'), (2, "  indented"), (4, '"b",c')]
    rows = read(b"ok\n\xff\xfe\n", "text")
    assert refusals(rows) == [(2, Code.INVALID_UTF8)]


def test_a_line_of_white_space_beyond_ascii_is_refused_not_dropped() -> None:
    assert refusals(read("\u3000\u2003\n", "text")) == [(1, Code.EMPTY_TEXT)]


def test_csv_columns_are_fields_or_metadata() -> None:
    rows = read("id,text,tenant,language,colour\n1,hello,acme,en,red\n2,bye,,,\n", "csv")
    assert texts(rows) == [(2, "hello"), (3, "bye")]
    assert isinstance(rows[0], Row)
    assert isinstance(rows[1], Row)
    assert (rows[0].job.tenant, rows[0].job.language) == ("acme", "en")
    assert rows[0].job.metadata == {"id": "1", "colour": "red"}
    assert (rows[1].job.tenant, rows[1].job.metadata) == ("default", {"id": "2", "colour": ""})


def test_a_csv_field_may_span_lines_and_hold_quotes_and_commas() -> None:
    rows = read('text,n\n"one,\ntwo\r\nthree",1\n\n"say ""hi""",2\nfour,3\n', "csv")
    assert texts(rows) == [(2, "one,\ntwo\r\nthree"), (6, 'say "hi"'), (7, "four")]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (b"hello, world,1", Code.MALFORMED_JSON),  # a comma in a text without quotes: nothing may be cut off there
        (b'"hello"x,1', Code.MALFORMED_JSON),
        (b"a\rb,1", Code.MALFORMED_JSON),
        (b",1", Code.EMPTY_TEXT),
        (b"\xff,1", Code.INVALID_UTF8),
        (b"hello,\xff", Code.INVALID_UTF8),
        (b"a" * LIMIT + b",1", Code.RECORD_TOO_LARGE),
        (b"a" * 600 + b"," + b"b" * 600, Code.RECORD_TOO_LARGE),
        (b'"' + b"a\n" * LIMIT + b'",1', Code.RECORD_TOO_LARGE),  # the rest of the field becomes no rows
        (b'"' + b"a,b\n" * LIMIT + b'""\n",1', Code.RECORD_TOO_LARGE),
    ],
)
def test_a_bad_csv_row_is_refused_alone(row: bytes, code: Code) -> None:
    rows = read(b"text,n\nbefore,0\n" + row + b"\nafter,2\n", "csv")
    assert refusals(rows) == [(3, code)]
    assert texts([row for row in rows if isinstance(row, Row)]) == [(2, "before"), (4 + row.count(b"\n"), "after")]


def test_a_quote_that_never_closes_swallows_no_rows_in_silence() -> None:
    rows = read('text,n\nok,0\n"open,1\nlost,2\n', "csv")
    assert texts(rows[:1]) == [(2, "ok")]
    assert refusals(rows) == [(3, Code.MALFORMED_JSON)]


def test_a_csv_row_with_fewer_fields_lacks_the_others() -> None:
    rows = read("text,colour\nhello\n", "csv")
    assert isinstance(rows[0], Row)
    assert rows[0].job.metadata == {}
    assert refusals(read("colour,text\nred\n", "csv")) == [(2, Code.EMPTY_TEXT)]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"body,n\nhello,1\n", b"body\rhello\r", b"a" * (LIMIT + 1) + b",text\nb,c\n", b'"text\n'],
)
def test_a_csv_file_without_the_text_column_cannot_be_read(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="CSV"):
        read(content, "csv")


@pytest.mark.parametrize(
    ("format_", "content"), [("jsonl", '{"body":"hello","text":"other"}'), ("csv", "text,body\nother,hello\n")]
)
def test_another_column_may_hold_the_text(format_: Format, content: str) -> None:
    assert [text for _, text in texts(read(content, format_, Columns(text="body")))] == ["hello"]


def test_defaults_fill_in_what_a_row_does_not_say() -> None:
    columns = Columns(defaults={"tenant": "acme", "task": "moderation"})
    rows = read('{"text":"a"}\n{"text":"b","tenant":"other"}\n', "jsonl", columns)
    assert [row.job.tenant for row in rows if isinstance(row, Row)] == ["acme", "other"]


@pytest.mark.parametrize("defaults", [{"tenant": ""}, {"task": "a" * 65}, {"colour": "red"}])
@pytest.mark.parametrize("format_", ["jsonl", "csv", "text"])
def test_a_default_that_no_job_may_have_stops_the_file_not_its_rows(defaults: dict[str, str], format_: Format) -> None:
    with pytest.raises(ConfigurationError, match="no job may have this"):
        read("text\n", format_, Columns(defaults=defaults))


def test_rows_without_an_id_get_ids_of_their_own() -> None:
    rows = read("a\n" * 50, "text")
    assert len({row.job.job_id for row in rows if isinstance(row, Row)}) == 50


@pytest.mark.parametrize("format_", ["jsonl", "csv", "text"])
def test_what_is_published_for_a_refused_row_is_refused_by_the_pipeline_too(format_: Format) -> None:
    bad = {
        "jsonl": b'{"text":5}\n{"text":""}\nhello\n{"text":"\xff"}\n"a"\n{"text":"a","job_id":"\\n"}\n',
        "csv": b"text,job_id,created_at\n,1,\n\xff,2,\na,3,yesterday\n",
        "text": b"\xff\n\xe3\x80\x80\n",
    }[format_]
    rows = read(bad, format_)
    assert len(rows) >= 2
    for row in rows:
        assert isinstance(row, Refused)
        assert row.raw is not None
        record = JobRecord("llmos.jobs", 0, 0, 0, None, (), row.raw)
        assert not any(isinstance(outcome, Accepted) for outcome in decode(record, 1 << 20)), row
