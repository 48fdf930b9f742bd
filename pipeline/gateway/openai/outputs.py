"""The last stage of a batch: its output file and its error file, with each line of the input in one of them, in order.

Nobody sees the files before the batch is at its end; what an interruption leaves behind is dropped at the next start.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Any, Final

from pydantic_core import from_json, to_json

from pipeline.gateway.openai.categories import Scores, moderation
from pipeline.gateway.openai.file_store import FileStore, Incoming
from pipeline.gateway.openai.lines import Line, RawLine, parse_line, read_pieces
from pipeline.gateway.openai.moderation_request import DEFAULT_MODEL, body_of, place_of, refused
from pipeline.gateway.openai.moderations import reply
from pipeline.gateway.openai.replies import Batch, FileObject
from pipeline.gateway.openai.text_store import TextRow
from pipeline.gateway.openai.validation import Stores

OK: Final = 200
_UNDONE: Final = {
    "cancelling": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    "finalizing": ("batch_expired", "This request could not be executed before the completion window expired."),
}
"""What is said of a line without an answer, by the state in which its batch ends."""


def write_outputs(stores: Stores, batch: Batch) -> Iterator[None]:
    """Write both files in steps; then the batch, which no outcome reaches any more, is at its end."""
    output, errors = _Output(stores.files), _Output(stores.files)
    try:
        for piece in _pieces(stores, batch):
            for is_error, lines in _answers(batch, piece, stores.texts.outcomes(batch.id, piece[0].number, piece[-1].number)):
                (errors if is_error else output).write(lines)
            yield
        keep_s = stores.batches.output_expires_s(batch.id)
        stores.batches.finish(
            batch, output.finish(f"{batch.id}_output.jsonl", keep_s), errors.finish(f"{batch.id}_error.jsonl", keep_s)
        )
    except BaseException:
        output.discard()
        errors.discard()
        raise


def _pieces(stores: Stores, batch: Batch) -> Iterator[list[RawLine]]:
    if batch.in_progress_at is None:  # it has ended before it was validated
        return iter(())
    return read_pieces(stores.files.path(batch.input_file_id), stores.line_bytes_max)


class _Output:
    """A file that is made with its first line."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._incoming: Incoming | None = None

    def write(self, lines: bytes) -> None:
        if not lines:
            return
        self._incoming = self._incoming or self._files.create()
        self._incoming.write(lines)

    def finish(self, filename: str, keep_s: int) -> FileObject | None:
        if self._incoming is None:
            return None
        self._incoming.close()
        return self._files.described(self._incoming, filename=filename, purpose="batch_output", keep_s=keep_s)

    def discard(self) -> None:
        if self._incoming:
            self._incoming.discard()


def _answers(batch: Batch, piece: Sequence[RawLine], rows: Sequence[TextRow]) -> Iterator[tuple[bool, bytes]]:
    by_line = {line: list(found) for line, found in groupby(rows, key=lambda row: row[0])}
    written: dict[bool, list[bytes]] = {False: [], True: []}
    for raw in piece:
        line = parse_line(raw)
        assert isinstance(line, Line), "validation has passed it"
        is_error, answer = answer_line(batch, line, by_line[line.number])
        written[is_error].append(to_json(answer) + b"\n")
    return ((is_error, b"".join(lines)) for is_error, lines in written.items())


def answer_line(batch: Batch, line: Line, rows: Sequence[TextRow]) -> tuple[bool, dict[str, Any]]:
    """Whether it goes to the error file, and what is written of a line whose texts came to `rows`."""
    name = blake2b(f"{batch.id}-{line.number}".encode(), digest_size=16).hexdigest()
    answer: dict[str, Any] = {"id": f"batch_req_{name}", "custom_id": line.custom_id, "response": None, "error": None}
    if any(status is None for _, _, status, _ in rows):
        code, message = _UNDONE[batch.status]
        return True, {**answer, "error": {"code": code, "message": message}}
    status, body = _body(line, name, rows)
    response = {"status_code": status, "request_id": f"req_{name}", "body": body}
    return status != OK, {**answer, "response": response}


def _body(line: Line, name: str, rows: Sequence[TextRow]) -> tuple[int, dict[str, Any]]:
    for _, index, status, outcome in rows:
        if status == 422:  # noqa: PLR2004 (a dead letter)
            code, reason = from_json(outcome or "")
            return status, body_of(refused(code, reason, place_of(line.body.get("input"), index)))
        if status is not None and status != OK:
            return status, from_json(outcome or "")
    results = [moderation(Scores.load(outcome or "")) for *_, outcome in rows]
    return OK, reply(f"modr-{name}", line.body.get("model") or DEFAULT_MODEL, results)
