"""What became of each text of the batches under way: a row from the validation of its file to the writing of the output.

A line whose body asks for what cannot be had has one row too, with its error for an outcome from the start.
"""

from collections.abc import Collection, Iterable
from typing import Final

from pipeline.gateway.database import Database
from pipeline.gateway.openai.replies import RequestCounts
from pipeline.gateway.openai.tables import Connection, rows

WAITING_MAX: Final = 1_000
"""Ids told of jobs without an outcome: enough for a look elsewhere."""

TextRow = tuple[int, int, int | None, str | None]
"""Line, index within its input, HTTP status and outcome; both are None while there is no outcome."""
Answer = tuple[str, int, int, int, str]
"""Batch, line, index, HTTP status, outcome."""


class TextStore:
    """For all threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, batch_id: str, texts: Iterable[TextRow], *, first: bool) -> None:
        """Note what a batch in state validating asks; `first` forgets what an interrupted validation has noted."""
        values = [(batch_id, *text) for text in texts]

        def insert(connection: Connection) -> None:
            if connection.execute("SELECT 1 FROM batches WHERE id = ? AND status = 'validating'", (batch_id,)).fetchone():
                if first:
                    connection.execute("DELETE FROM texts WHERE batch = ?", (batch_id,))
                connection.executemany("INSERT INTO texts VALUES (?, ?, ?, ?, ?)", values)

        self._database.write_now(insert)

    def missing(self, batch_id: str, first_line: int, last_line: int) -> set[tuple[int, int]]:
        """Line and index of the texts between these lines that have no outcome."""
        question = "SELECT line, input FROM texts WHERE batch = ? AND line BETWEEN ? AND ? AND status IS NULL"
        return {(line, index) for line, index in rows(self._database, question, (batch_id, first_line, last_line))}

    def unanswered(self, batch_id: str) -> bool:
        """Whether any text has no outcome."""
        return bool(rows(self._database, "SELECT 1 FROM texts WHERE batch = ? AND status IS NULL LIMIT 1", (batch_id,)))

    def waiting(self) -> list[tuple[str, int, int]]:
        """Batch, line and index of some texts that Kafka has and that have no outcome, the oldest first."""
        question = (
            "SELECT t.batch, t.line, t.input FROM batches b JOIN texts t ON t.batch = b.id"
            " WHERE b.status = 'in_progress' AND t.status IS NULL AND t.line <= b.handed"
            " ORDER BY t.batch, t.line, t.input LIMIT ?"
        )
        return [(batch, line, index) for batch, line, index in rows(self._database, question, (WAITING_MAX,))]

    def answer(self, answers: Collection[Answer]) -> None:
        """Keep these outcomes in one transaction; a text keeps its first one, and only while its batch is in progress."""
        statement = (
            "UPDATE texts SET status = ?, outcome = ? WHERE batch = ? AND line = ? AND input = ? AND status IS NULL"
            " AND (SELECT status FROM batches WHERE id = texts.batch) = 'in_progress'"
        )
        values = [(status, outcome, *place) for *place, status, outcome in answers]
        self._database.write_now(lambda connection: connection.executemany(statement, values))

    def outcomes(self, batch_id: str, first_line: int, last_line: int) -> list[TextRow]:
        """What became of the texts between these lines, in order."""
        question = "SELECT line, input, status, outcome FROM texts WHERE batch = ? AND line BETWEEN ? AND ? ORDER BY line, input"
        return [
            (line, index, status, told)
            for line, index, status, told in rows(self._database, question, (batch_id, first_line, last_line))
        ]

    def counts(self, batch_id: str) -> RequestCounts:
        """Lines of the batch, and how many of them have an answer."""
        question = (
            "SELECT count(*), total(done AND worst = 200), total(done AND worst <> 200) FROM"
            " (SELECT min(status IS NOT NULL) AS done, max(status) AS worst FROM texts WHERE batch = ? GROUP BY line)"
        )
        total, completed, failed = rows(self._database, question, (batch_id,))[0]
        return RequestCounts(total=total, completed=int(completed), failed=int(failed))
