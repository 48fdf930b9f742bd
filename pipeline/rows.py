"""Files to jobs, a row at a time, in bounded memory: JSON lines, CSV or plain text, one text a line.

A row that is no job comes back as a refusal with its line number and its bytes, so that it can be dead-lettered too.
"""

import csv
import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal, Self

from pydantic_core import from_json

from schemas.codes import Code
from schemas.errors import ConfigurationError, MessageError
from schemas.ids import new_job_id
from schemas.jobs import TextJob, parse_job

Format = Literal["jsonl", "csv", "text"]
_JOB_COLUMNS: Final = ("job_id", "task", "tenant", "language", "created_at", "reply_to", "deadline")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `line` is where it begins, the first line of the file being 1."""

    line: int
    job: TextJob


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that is no job. `raw` is what to publish in its place, or None where that cannot be."""

    line: int
    error: MessageError
    raw: bytes | None


@dataclass(frozen=True, slots=True)
class Columns:
    """Where a row's text lies, and what it says where it says nothing."""

    text: str = "text"
    defaults: Mapping[str, str] | None = None


def read_rows(file: BinaryIO, format_: Format, columns: Columns, line_bytes_max: int) -> Iterator[Row | Refused]:
    """Every row of `file`; one longer than `line_bytes_max` is refused unread.

    Raises ConfigurationError for a CSV file without the text column, and for defaults that no job may have.
    """
    try:
        parse_job({"text": "any", **(columns.defaults or {})})
    except MessageError as error:
        raise ConfigurationError(f"no job may have this: {error}") from error
    if format_ == "csv":
        return _csv(file, columns, line_bytes_max)
    return _lines(file, format_, columns, line_bytes_max)


def _lines(file: BinaryIO, format_: Format, columns: Columns, line_bytes_max: int) -> Iterator[Row | Refused]:
    number = 0
    while line := file.readline(line_bytes_max + 1):
        number += 1
        if len(line) > line_bytes_max:
            while line and not line.endswith(b"\n"):
                line = file.readline(line_bytes_max)
            error = MessageError(Code.RECORD_TOO_LARGE, f"the line is longer than {line_bytes_max:,} bytes")
            yield Refused(number, error, None)
            continue
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        if line.strip():
            yield _json_row(number, line.strip(), columns) if format_ == "jsonl" else _text_row(number, line, columns)


def _json_row(number: int, line: bytes, columns: Columns) -> Row | Refused:
    try:
        given = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return Refused(number, _json_error(line, error), _publishable(line))
    if not isinstance(given, dict):
        reason = f"a line holds one job, a JSON object, not {type(given).__name__}"
        return Refused(number, MessageError(Code.INVALID_FIELD, reason), _publishable(line))
    if columns.text != "text" and columns.text in given:
        given = {**given, "text": given[columns.text]}
        del given[columns.text]
    return _row(number, given, columns, line)


def _json_error(line: bytes, error: ValueError) -> MessageError:
    try:
        line.decode()
    except UnicodeDecodeError:
        return MessageError(Code.INVALID_UTF8, "the line is not UTF-8")
    return MessageError(Code.MALFORMED_JSON, f"not JSON: {error}")


def _text_row(number: int, line: bytes, columns: Columns) -> Row | Refused:
    try:
        text = line.rstrip(b"\r\n").decode()
    except UnicodeDecodeError:
        return Refused(number, MessageError(Code.INVALID_UTF8, "the line is not UTF-8"), _publishable(line))
    return _row(number, {"text": text}, columns, None)


def _publishable(line: bytes) -> bytes | None:
    """`line` as it is, but for an array: the pipeline would take what jobs it finds there, and nobody would wait for them."""
    return None if line.lstrip().startswith(b"[") else line


class _CsvLines:
    """The decoded lines of a CSV file; raises `_TooLong` where a record grows beyond `bytes_max`."""

    def __init__(self, file: BinaryIO, bytes_max: int) -> None:
        self._file = file
        self._bytes_max = bytes_max
        self._size = self._quotes = 0
        self.number = 0

    def begin_record(self) -> None:
        """What follows is counted anew."""
        self._size = self._quotes = 0

    def skip_record(self) -> None:
        """Go on to where the record ends: behind a line that leaves no quote open."""
        while self._quotes % 2 and self._read():
            pass

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._read()
        if not line:
            raise StopIteration
        if self._size > self._bytes_max:
            raise _TooLong(f"the row is longer than {self._bytes_max:,} bytes")
        return line.decode("utf-8-sig" if self.number == 1 else "utf-8", "surrogateescape")

    def _read(self) -> bytes:
        line = part = self._file.readline(self._bytes_max + 1)
        self.number += bool(line)
        while part:
            self._size += len(part)
            self._quotes += part.count(b'"')
            part = b"" if part.endswith(b"\n") else self._file.readline(self._bytes_max + 1)
        return line


class _TooLong(csv.Error):
    pass


def _csv(file: BinaryIO, columns: Columns, bytes_max: int) -> Iterator[Row | Refused]:
    csv.field_size_limit(bytes_max)
    lines = _CsvLines(file, bytes_max)
    table = csv.reader(lines, strict=True)
    header = _csv_header(table, columns)
    while True:
        number = lines.number + 1
        lines.begin_record()
        try:
            fields = next(table)
        except StopIteration:
            return
        except _TooLong as error:
            lines.skip_record()
            yield Refused(number, MessageError(Code.RECORD_TOO_LARGE, str(error)), None)
        except csv.Error as error:
            yield Refused(number, MessageError(Code.MALFORMED_JSON, f"not CSV: {error}"), None)
        else:
            if fields:
                yield _csv_row(number, header, fields, columns)


def _csv_header(table: Iterator[list[str]], columns: Columns) -> list[str]:
    try:
        header = next(table, [])
    except csv.Error as error:
        raise ConfigurationError(f"the first line of the CSV file, which names its columns, is not CSV: {error}") from error
    if columns.text not in header:
        raise ConfigurationError(f"the CSV file has no column {columns.text!r}; it has: {', '.join(header)}")
    return header


def _csv_row(number: int, header: Sequence[str], fields: Sequence[str], columns: Columns) -> Row | Refused:
    if len(fields) > len(header):
        # Most often a comma in a text without quotes: the text would be cut there, and nobody would know.
        reason = f"{len(fields)} fields are more than the {len(header)} columns; a text with a comma needs quotes"
        return Refused(number, MessageError(Code.MALFORMED_JSON, f"not CSV: {reason}"), None)
    row = _row(number, _csv_job(dict(zip(header, fields, strict=False)), columns.text), columns, None)
    if isinstance(row, Refused) and row.error.code is Code.LONE_SURROGATE:  # the mark of a byte that is not UTF-8
        return Refused(number, MessageError(Code.INVALID_UTF8, "the row is not UTF-8"), row.raw)
    return row


def _csv_job(record: Mapping[str, str], text_column: str) -> dict[str, Any]:
    """A CSV row as a job: columns that are called like a field are that field, all others are metadata."""
    job = {name: record[name] for name in _JOB_COLUMNS if record.get(name)}
    rest = {name: value for name, value in record.items() if name not in (*_JOB_COLUMNS, text_column)}
    return {"text": record.get(text_column, ""), **job, **({"metadata": rest} if rest else {})}


def _row(number: int, given: dict[str, Any], columns: Columns, raw: bytes | None) -> Row | Refused:
    job = {**(columns.defaults or {}), **given}
    try:
        return Row(number, parse_job({"job_id": new_job_id(), **job}))
    except MessageError as error:
        return Refused(number, error, raw or json.dumps(job, ensure_ascii=False).encode("utf-8", "surrogateescape"))
