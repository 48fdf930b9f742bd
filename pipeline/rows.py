"""Files to jobs, a row at a time, in bounded memory: JSON lines, CSV or plain text, one text a line.

A row that is no job comes back as a refusal with its line number and its bytes, so that it can be dead-lettered too.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal

from pydantic_core import from_json

from schemas.codes import Code
from schemas.errors import ConfigurationError, MessageError
from schemas.ids import new_job_id
from schemas.jobs import TextJob, parse_job

Format = Literal["jsonl", "csv", "text"]
_JOB_COLUMNS: Final = ("job_id", "task", "tenant", "language", "created_at", "reply_to", "deadline")


@dataclass(frozen=True, slots=True)
class Row:
    """One row; line numbers begin with 1."""

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
    """Every row of `file`; raises ConfigurationError for a CSV file without the text column."""
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
        elif line.strip():
            yield _json_row(number, line.strip(), columns) if format_ == "jsonl" else _text_row(number, line, columns)


def _json_row(number: int, line: bytes, columns: Columns) -> Row | Refused:
    try:
        given = from_json(line, allow_inf_nan=False)
    except ValueError as error:
        return Refused(number, _json_error(line, error), line)
    if not isinstance(given, dict):
        reason = f"a line holds one job, a JSON object, not {type(given).__name__}"
        return Refused(number, MessageError(Code.INVALID_FIELD, reason), None if isinstance(given, list) else line)
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
        return Refused(number, MessageError(Code.INVALID_UTF8, "the line is not UTF-8"), line)
    return _row(number, {"text": text}, columns, None)


def _csv(file: BinaryIO, columns: Columns, line_bytes_max: int) -> Iterator[Row | Refused]:
    csv.field_size_limit(line_bytes_max)
    lines = (line.decode("utf-8-sig" if number == 0 else "utf-8", "surrogateescape") for number, line in enumerate(file))
    table = csv.DictReader(lines)
    if columns.text not in (table.fieldnames or ()):
        raise ConfigurationError(f"the CSV file has no column {columns.text!r}; it has: {', '.join(table.fieldnames or ())}")
    while True:
        try:
            record = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refused(table.line_num, MessageError(Code.MALFORMED_JSON, f"not CSV: {error}"), None)
            continue
        yield _row(table.line_num, _csv_job(record, columns.text), columns, None)


def _csv_job(record: dict[str, Any], text_column: str) -> dict[str, Any]:
    """A CSV row as a job: columns that are called like a field are that field, all others are metadata."""
    job = {name: record[name] for name in _JOB_COLUMNS if record.get(name)}
    rest = {name: value for name, value in record.items() if isinstance(name, str) and name not in (*_JOB_COLUMNS, text_column)}
    return {"text": record[text_column] or "", **job, **({"metadata": rest} if rest else {})}


def _row(number: int, given: dict[str, Any], columns: Columns, raw: bytes | None) -> Row | Refused:
    job = {**(columns.defaults or {}), **given}
    try:
        return Row(number, parse_job({"job_id": new_job_id(), **job}))
    except MessageError as error:
        return Refused(number, error, raw or json.dumps(job, ensure_ascii=False).encode("utf-8", "surrogateescape"))
