"""Batches of the tenants in the database, and their states.

A state changes only from those it may follow, in one transaction; who comes too late changes nothing. So a batch can be taken up
again wherever a restart, a cancel or its end of time has left it.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from pipeline.gateway.database import Database
from pipeline.gateway.dialect import ApiError
from pipeline.gateway.openai.file_store import insert_file
from pipeline.gateway.openai.lines import ENDPOINT
from pipeline.gateway.openai.replies import Batch, BatchFault, BatchFaults, FileObject
from pipeline.gateway.openai.tables import UNFINISHED, VISIBLE, Connection, rows
from pipeline.gateway.openai.text_store import TextStore
from schemas.ids import new_job_id

WINDOW_S: Final = 86_400
"""A batch ends so long after its creation, whatever it has done by then."""
KEEP_S: Final = 2_592_000
"""How long a batch that has ended can be asked for."""
UNFINISHED_MAX: Final = 1_000
"""Batches of one tenant under way or waiting for it: each is remembered with all its texts."""
CANCELLABLE: Final = ("validating", "in_progress")


class BatchStore:
    """For all threads."""

    def __init__(self, database: Database, texts: TextStore, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._texts = texts
        self._clock = clock

    def create(self, tenant: str, input_file_id: str, metadata: dict[str, str] | None, output_expires_s: int) -> Batch:
        """A new batch in state validating; raises ApiError (400, 429)."""
        now = self._now()
        batch = Batch(
            id=f"batch_{new_job_id().replace('-', '')}",
            endpoint=ENDPOINT,
            input_file_id=input_file_id,
            completion_window="24h",
            status="validating",
            created_at=now,
            expires_at=now + WINDOW_S,
            metadata=metadata,
        )

        def insert(connection: Connection) -> None:
            _check(connection, tenant, input_file_id, now)
            connection.execute(
                "INSERT INTO batches (id, tenant, status, input_file_id, created_at, output_expires_s, value)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (batch.id, tenant, batch.status, input_file_id, now, output_expires_s, batch.model_dump_json()),
            )

        self._database.write_now(insert)
        return batch

    def read(self, tenant: str, batch_id: str) -> Batch | None:
        """The tenant's batch of this id, with its counts as of now."""
        question = "SELECT value FROM batches WHERE id = ? AND tenant = ?"
        found = rows(self._database, question, (batch_id, tenant))
        return self._counted(Batch.model_validate_json(found[0][0])) if found else None

    def page(self, tenant: str, after: str | None, limit: int) -> list[Batch]:
        """The tenant's batches older than `after`, the newest first; one more than `limit` where there are more."""
        question = "SELECT value FROM batches WHERE tenant = ? AND (? IS NULL OR id < ?) ORDER BY id DESC LIMIT ?"
        found = rows(self._database, question, (tenant, after, after, limit + 1))
        return [self._counted(Batch.model_validate_json(value)) for (value,) in found]

    def cancel(self, tenant: str, batch_id: str) -> tuple[Batch | None, bool]:
        """The tenant's batch, cancelling if it could still be cancelled; and whether this call has done it."""
        if self.read(tenant, batch_id) is None:
            return None, False
        changed = self._change(batch_id, CANCELLABLE, status="cancelling", cancelling_at=self._now())
        return self.read(tenant, batch_id), changed

    def unfinished(self) -> list[tuple[str, str]]:
        """Id and tenant of all that are not at their end, the oldest first."""
        question = f"SELECT id, tenant FROM batches WHERE status IN {UNFINISHED} ORDER BY id"  # noqa: S608 (constants)
        return [(batch_id, tenant) for batch_id, tenant in rows(self._database, question)]

    def get(self, batch_id: str) -> Batch:
        """The batch of this id, without counts while it is under way."""
        return Batch.model_validate_json(rows(self._database, "SELECT value FROM batches WHERE id = ?", (batch_id,))[0][0])

    def begin(self, batch_id: str, model: str, reserved: int) -> None:
        """From validating to in_progress, with room reserved for the outputs."""

        def change(connection: Connection) -> None:
            if _change(connection, batch_id, ("validating",), status="in_progress", model=model, in_progress_at=self._now()):
                connection.execute("UPDATE batches SET reserved = ? WHERE id = ?", (reserved, batch_id))

        self._database.write_now(change)

    def fail(self, batch_id: str, faults: Sequence[BatchFault]) -> None:
        """To failed, for what is wrong with the file."""
        found = BatchFaults(data=list(faults))

        def change(connection: Connection) -> None:
            if _change(connection, batch_id, UNFINISHED, status="failed", failed_at=self._now(), errors=found):
                _forget_texts(connection, batch_id)

        self._database.write_now(change)

    def handed_over(self, batch_id: str, last_line: int) -> None:
        """Note that Kafka has all jobs up to this line."""
        statement, values = "UPDATE batches SET handed = max(handed, ?) WHERE id = ?", (last_line, batch_id)
        self._database.write_now(lambda connection: connection.execute(statement, values))

    def seal(self, batch_id: str) -> Batch:
        """The batch, in a state in which no outcome is taken any more: finalizing, unless it is cancelling or has failed."""
        self._change(batch_id, CANCELLABLE, status="finalizing", finalizing_at=self._now())
        return self.get(batch_id)

    def output_expires_s(self, batch_id: str) -> int:
        """How long its output files are kept."""
        return int(rows(self._database, "SELECT output_expires_s FROM batches WHERE id = ?", (batch_id,))[0][0])

    def finish(self, batch: Batch, output: FileObject | None, errors: FileObject | None) -> None:
        """To its end, and its output files with it: all of that or nothing."""
        files = [file for file in (output, errors) if file]
        ids = {"output_file_id": output and output.id, "error_file_id": errors and errors.id}
        counts = self._counted(batch).request_counts

        def change(connection: Connection) -> None:
            end = _end_of(connection, batch)
            fields = {"status": end, f"{end}_at": self._now(), "request_counts": counts, **ids}
            if _change(connection, batch.id, (batch.status,), **fields):
                (tenant,) = connection.execute("SELECT tenant FROM batches WHERE id = ?", (batch.id,)).fetchone()
                for file in files:
                    insert_file(connection, file, tenant)
                _forget_texts(connection, batch.id)

        self._database.write_now(change)

    def sweep(self) -> None:
        """Forget what has ended long ago."""
        statement = f"DELETE FROM batches WHERE status NOT IN {UNFINISHED} AND created_at < ?"  # noqa: S608 (constants)
        before = self._now() - KEEP_S
        self._database.write_now(lambda connection: connection.execute(statement, (before,)))

    def _now(self) -> int:
        return int(self._clock())

    def _change(self, batch_id: str, statuses: Collection[str], **fields: Any) -> bool:  # noqa: ANN401 (fields of a batch)
        return self._database.write_now(lambda connection: _change(connection, batch_id, statuses, **fields))

    def _counted(self, batch: Batch) -> Batch:
        if batch.in_progress_at is None or batch.status not in UNFINISHED:
            return batch
        return batch.model_copy(update={"request_counts": self._texts.counts(batch.id)})


def _check(connection: Connection, tenant: str, file_id: str, now: int) -> None:
    question = f"SELECT purpose FROM files WHERE id = ? AND {VISIBLE}"  # noqa: S608 (a constant)
    found = connection.execute(question, (file_id, tenant, now)).fetchone()
    if not found or found[0] != "batch":
        what = f"No such File object: {file_id[:100]}" if not found else "The input file of a batch has the purpose 'batch'."
        raise ApiError(400, what, param="input_file_id", code="invalid_value")
    question = f"SELECT count(*) FROM batches WHERE tenant = ? AND status IN {UNFINISHED}"  # noqa: S608 (constants)
    if connection.execute(question, (tenant,)).fetchone()[0] >= UNFINISHED_MAX:
        message = f"More than {UNFINISHED_MAX} batches are under way. Please try again when some have ended."
        raise ApiError(429, message, kind="requests", code="rate_limit_exceeded", headers={"retry-after": "60"})


def _end_of(connection: Connection, batch: Batch) -> str:
    """The state in which a sealed batch ends."""
    if batch.status == "cancelling":
        return "cancelled"
    question = "SELECT 1 FROM texts WHERE batch = ? AND status IS NULL LIMIT 1"
    if batch.in_progress_at is None or connection.execute(question, (batch.id,)).fetchone():
        return "expired"
    return "completed"


def _change(connection: Connection, batch_id: str, statuses: Collection[str], **fields: Any) -> bool:  # noqa: ANN401
    """Set `fields` where the batch is in one of `statuses`; returns whether it was."""
    status, value = connection.execute("SELECT status, value FROM batches WHERE id = ?", (batch_id,)).fetchone()
    if status not in statuses:
        return False
    batch = Batch.model_validate_json(value).model_copy(update=fields)
    statement = "UPDATE batches SET status = ?, value = ? WHERE id = ?"
    connection.execute(statement, (batch.status, batch.model_dump_json(), batch_id))
    return True


def _forget_texts(connection: Connection, batch_id: str) -> None:
    connection.execute("DELETE FROM texts WHERE batch = ?", (batch_id,))
    connection.execute("UPDATE batches SET reserved = 0 WHERE id = ?", (batch_id,))
