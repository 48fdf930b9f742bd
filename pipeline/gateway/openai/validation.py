"""The first stage of a batch: its file is read once, and either every line of it becomes rows of texts or the batch fails."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic_core import to_json

from pipeline.gateway.dialect import ApiError
from pipeline.gateway.openai.batch_store import BatchStore
from pipeline.gateway.openai.categories import NOTHING
from pipeline.gateway.openai.file_store import FileStore
from pipeline.gateway.openai.lines import LINES_MAX, Checker, Line, RawLine, read_pieces
from pipeline.gateway.openai.moderation_request import DEFAULT_MODEL, Rules, body_of, parse_request
from pipeline.gateway.openai.replies import Batch, BatchFault
from pipeline.gateway.openai.text_store import TextRow, TextStore

FAULTS_MAX: Final = 100
"""Faults told of one file; then reading stops."""
RESULT_BYTES: Final = 1_400
"""Of one text in an output, at most: 13 categories, three times."""
LINE_BYTES: Final = 1_000
"""Of one line in an output around its results, or of its error, about."""


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that the stages of a batch read and write, and the limits that hold for a line."""

    batches: BatchStore
    texts: TextStore
    files: FileStore
    rules: Rules
    line_bytes_max: int


def validate(stores: Stores, batch: Batch) -> Iterator[None]:
    """Read the file in steps; then the batch is in progress, or has failed."""
    reading = _Reading(stores)
    pieces = read_pieces(stores.files.path(batch.input_file_id), stores.line_bytes_max)
    for number, piece in enumerate(pieces):
        rows = [row for raw in piece for row in reading.rows(raw)]
        stores.texts.add(batch.id, rows, first=number == 0)
        if reading.given_up:
            break
        yield
    faults = reading.finish()
    if faults:
        stores.batches.fail(batch.id, faults)
    else:
        stores.batches.begin(batch.id, reading.checker.model or DEFAULT_MODEL, reading.output_bytes)


class _Reading:
    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.checker = Checker()
        self._faults: list[BatchFault] = []
        self._texts = 0
        self.output_bytes = 0
        self.given_up = False

    def rows(self, raw: RawLine) -> Sequence[TextRow]:
        """What is to be noted of a line; nothing once the file is known to fail."""
        if self.given_up:
            return ()
        line = self.checker.check(raw)
        if isinstance(line, BatchFault):
            self._faults.append(line)
            self.given_up = len(self._faults) >= FAULTS_MAX or line.code == "too_many_tasks"
            return ()
        rows = rows_of(line, self._stores.rules)
        self._texts += len(rows)
        self.output_bytes += len(to_json(line.custom_id)) + LINE_BYTES + len(rows) * RESULT_BYTES
        if self._texts > LINES_MAX:
            self._faults.append(BatchFault(code="too_many_tasks", message=f"The batch has more than {LINES_MAX:,} inputs."))
            self.given_up = True
        return () if self._faults else rows

    def finish(self) -> Sequence[BatchFault]:
        """All that is wrong."""
        empty = self.checker.finish()
        if empty:
            return (empty,)
        if not self._faults and not self._stores.files.fits(self.output_bytes):
            message = "There is no room for the output of this batch."
            return (BatchFault(code="storage_limit_exceeded", message=message),)
        return self._faults


def rows_of(line: Line, rules: Rules) -> Sequence[TextRow]:
    """One row for each text of a line; those that need no job, and a line that asks what cannot be had, have their outcome."""
    try:
        request = parse_request(line.body, rules)
    except ApiError as error:
        return ((line.number, 0, error.status, to_json(body_of(error)).decode()),)
    scored = set(request.scored())
    return tuple(
        (line.number, index, None, None) if index in scored else (line.number, index, 200, NOTHING.dump())
        for index in range(len(request.texts))
    )
