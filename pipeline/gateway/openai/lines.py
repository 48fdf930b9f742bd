"""The input file of a batch: its lines, read in pieces that fit into memory, and what may be wrong with one.

In: bytes. Out: a `Line` with its custom id and body, or a `BatchFault` with the line's number. One fault fails the whole file;
a body that asks for what cannot be had is no fault: its line alone fails, later.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic_core import from_json

from pipeline.gateway.openai.moderation_request import DEFAULT_MODEL
from pipeline.gateway.openai.replies import BatchFault

LINES_MAX: Final = 50_000
"""Lines of a batch, and texts of all its lines together: what is remembered of a batch under way stays small."""
CUSTOM_ID_CHARACTERS_MAX: Final = 512
ENDPOINT: Final = "/v1/moderations"
_PIECE_LINES: Final = 500
_PIECE_BYTES: Final = 1 << 20
"""Of lines in memory at once, unless a single one is larger."""
_REQUIRED: Final = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line that holds something, as it stands in the file; None where it is longer than lines may be."""

    number: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch. `custom_id` comes back with its answer."""

    number: int
    custom_id: str
    body: dict[str, Any]


def read_pieces(path: Path, line_bytes_max: int) -> Iterator[list[RawLine]]:
    """All lines of a file that hold something, some at a time. Lines count from 1, empty ones too."""
    piece: list[RawLine] = []
    size = 0
    with path.open("rb") as file:
        for line in _raw_lines(file, line_bytes_max):
            piece.append(line)
            size += len(line.value or b"")
            if len(piece) >= _PIECE_LINES or size >= _PIECE_BYTES:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


def _raw_lines(file: BinaryIO, line_bytes_max: int) -> Iterator[RawLine]:
    number = 0
    while value := file.readline(line_bytes_max + 1):
        number += 1
        if len(value) > line_bytes_max and not value.endswith(b"\n"):
            while (rest := file.readline(line_bytes_max)) and not rest.endswith(b"\n"):
                pass
            yield RawLine(number, None)
        elif not value.isspace():
            yield RawLine(number, value)


class Checker:
    """Checks the lines of one file, in order: it remembers custom ids and the model."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines_max = lines_max
        self._custom_ids: set[bytes] = set()
        self.model: str | None = None
        self.count = 0

    def check(self, raw: RawLine) -> Line | BatchFault:
        """The line, or the first thing that is wrong with it."""
        self.count += 1
        if self.count > self._lines_max:
            return BatchFault(code="too_many_tasks", message=f"The batch has more than {self._lines_max:,} requests.")
        line = parse_line(raw)
        if isinstance(line, BatchFault):
            return line
        digest = blake2b(line.custom_id.encode(), digest_size=16).digest()
        if digest in self._custom_ids:
            message = "The custom_id of this request is a duplicate of another one; it must be unique within a batch."
            return BatchFault(code="duplicate_custom_id", message=message, line=raw.number, param="custom_id")
        self._custom_ids.add(digest)
        return self._same_model(line)

    def finish(self) -> BatchFault | None:
        """What is wrong with the file as a whole."""
        return None if self.count else BatchFault(code="empty_file", message="The batch input file is empty.")

    def _same_model(self, line: Line) -> Line | BatchFault:
        given = line.body.get("model")
        model = given if isinstance(given, str) else DEFAULT_MODEL
        if self.model is None:
            self.model = model
        if model != self.model:
            message = "The model of this request differs from that of the first; all requests of a batch name the same."
            return BatchFault(code="model_mismatch", message=message, line=line.number, param="body.model")
        return line


def parse_line(raw: RawLine) -> Line | BatchFault:
    """What one line says, looked at alone."""
    if raw.value is None:
        return BatchFault(code="request_too_large", message="This line is longer than a request may be.", line=raw.number)
    try:
        value = from_json(raw.value)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        return BatchFault(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=raw.number)
    found = _fault(value)
    if found:
        code, message, param = found
        return BatchFault(code=code, message=message, line=raw.number, param=param)
    return Line(raw.number, value["custom_id"], value["body"])


def _fault(value: dict[str, Any]) -> tuple[str, str, str] | None:
    for name in _REQUIRED:
        if value.get(name) is None:
            return "missing_required_parameter", f"Missing required parameter: '{name}'.", name
    custom_id = value["custom_id"]
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= CUSTOM_ID_CHARACTERS_MAX:
        return "invalid_value", f"The custom_id is a string of 1 to {CUSTOM_ID_CHARACTERS_MAX} characters.", "custom_id"
    if value["method"] != "POST":
        return "invalid_method", "The method of a request is POST.", "method"
    if value["url"] != ENDPOINT:
        return "url_mismatch", "The URL provided for this request does not match the batch endpoint.", "url"
    if not isinstance(value["body"], dict):
        return "invalid_value", "The body of a request is a JSON object.", "body"
    return None
