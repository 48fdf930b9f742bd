"""Files of the tenants: content in a folder, one file each under its id; who owns it and until when, in the database.

Room is bounded: what lies there, what is being uploaded, and what the outputs of batches under way may need, all together.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from pipeline.gateway.database import Database
from pipeline.gateway.openai.replies import FileObject
from pipeline.gateway.openai.tables import UNFINISHED, VISIBLE, Connection, Row, rows
from schemas.ids import new_job_id

KEEP_S: Final = 2_592_000
"""How long a file is kept where nobody says otherwise, and at most: 30 days, as OpenAI keeps those of batches."""
KEEP_MIN_S: Final = 3_600
_FIELDS: Final = "id, bytes, created_at, expires_at, filename, purpose"


class FullError(Exception):
    """Nothing more fits into the room for files."""


_USED: Final = "SELECT (SELECT total(bytes) FROM files) + (SELECT total(reserved) FROM batches)"


@dataclass(slots=True)
class Incoming:
    """A file on its way to the store; `close` or `discard` it."""

    id: str
    path: Path
    descriptor: int
    size: int = 0

    @classmethod
    def create(cls, folder: Path) -> Self:
        """An empty one with a fresh id. Ids sort by time."""
        name = f"file-{new_job_id().replace('-', '')}"
        path = folder / name
        return cls(name, path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def write(self, data: bytes | memoryview) -> None:
        """Add `data`, all of it."""
        view = memoryview(data)
        self.size += len(view)
        while view:
            view = view[os.write(self.descriptor, view) :]

    def close(self) -> None:
        """Return once all of it is on the disk."""
        if self.descriptor >= 0:
            os.fsync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1

    def discard(self) -> None:
        """Leave nothing behind."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        self.path.unlink(missing_ok=True)


class FileStore:
    """For all threads. Every look-up names the tenant; a file that has expired is not there, also before it is swept."""

    def __init__(self, database: Database, folder: Path, bytes_max: int, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._folder = folder
        self._bytes_max = bytes_max
        self._clock = clock
        self._lock = threading.Lock()
        self._claimed = 0

    def recover(self) -> None:
        """Drop what an interrupted upload or batch has left behind. Call it before anything is written."""
        self._folder.mkdir(exist_ok=True)
        known = {name for (name,) in rows(self._database, "SELECT id FROM files")}
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink()

    def create(self) -> Incoming:
        """A new file that nobody sees until it is kept."""
        self._folder.mkdir(exist_ok=True)
        return Incoming.create(self._folder)

    def path(self, file_id: str) -> Path:
        """Where the content of a file lies that the database knows."""
        return self._folder / file_id

    def claim(self, size: int) -> None:
        """Take room for so many bytes more of an upload; raises FullError. Release it once the upload is kept or discarded."""
        with self._lock:
            if rows(self._database, _USED)[0][0] + self._claimed + size > self._bytes_max:
                raise FullError
            self._claimed += size

    def release(self, size: int) -> None:
        """Give back what was claimed."""
        with self._lock:
            self._claimed -= size

    def keep(self, incoming: Incoming, *, tenant: str, filename: str, keep_s: int) -> FileObject:
        """Make an upload a file: safe on the disk when this returns."""
        incoming.close()
        kept = self.described(incoming, filename=filename, purpose="batch", keep_s=keep_s)
        self._database.write_now(lambda connection: insert_file(connection, kept, tenant))
        return kept

    def fits(self, size: int) -> bool:
        """Whether a batch may reserve so many bytes for its outputs."""
        with self._lock:
            return bool(rows(self._database, _USED)[0][0] + self._claimed + size <= self._bytes_max)

    def described(self, incoming: Incoming, *, filename: str, purpose: Any, keep_s: int) -> FileObject:  # noqa: ANN401
        """A file as it will be from now on."""
        now = int(self._clock())
        return FileObject(
            id=incoming.id,
            bytes=incoming.size,
            created_at=now,
            expires_at=now + keep_s,
            filename=filename,
            purpose=purpose,
        )

    def read(self, tenant: str, file_id: str) -> FileObject | None:
        """The tenant's file of this id."""
        question = f"SELECT {_FIELDS} FROM files WHERE id = ? AND {VISIBLE}"  # noqa: S608 (constants)
        found = rows(self._database, question, (file_id, tenant, self._clock()))
        return _file(found[0]) if found else None

    def page(self, tenant: str, *, after: str | None, limit: int, ascending: bool, purpose: str | None) -> list[FileObject]:
        """The tenant's files beyond `after`, by age; one more than `limit` where there are more."""
        order, beyond = ("ASC", ">") if ascending else ("DESC", "<")
        question = (
            f"SELECT {_FIELDS} FROM files WHERE {VISIBLE} AND (? IS NULL OR id {beyond} ?) AND (? IS NULL OR purpose = ?)"  # noqa: S608
            f" ORDER BY id {order} LIMIT ?"
        )
        values = (tenant, self._clock(), after, after, purpose, purpose, limit + 1)
        return [_file(row) for row in rows(self._database, question, values)]

    def delete(self, tenant: str, file_id: str) -> bool:
        """Whether there was such a file. A batch that is under way can still read it; its room is free after that."""
        statement = f"UPDATE files SET gone = 1 WHERE id = ? AND {VISIBLE}"  # noqa: S608 (a constant)
        values = (file_id, tenant, self._clock())
        marked = self._database.write_now(lambda connection: connection.execute(statement, values).rowcount)
        self.sweep()
        return marked > 0

    def sweep(self) -> None:
        """Remove from the disk what is deleted or expired and no batch needs any more."""
        statement = (
            "DELETE FROM files WHERE (gone OR expires_at <= ?)"  # noqa: S608 (a constant)
            f" AND id NOT IN (SELECT input_file_id FROM batches WHERE status IN {UNFINISHED}) RETURNING id"
        )
        for (name,) in rows(self._database, statement, (self._clock(),)):
            self.path(name).unlink(missing_ok=True)


def insert_file(connection: Connection, file: FileObject, tenant: str) -> None:
    """Make `file` known as the tenant's."""
    values = (file.id, tenant, file.filename, file.purpose, file.bytes, file.created_at, file.expires_at)
    connection.execute(
        "INSERT INTO files (id, tenant, filename, purpose, bytes, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)", values
    )


def _file(row: Row) -> FileObject:
    name, size, created_at, expires_at, filename, purpose = row
    return FileObject(id=name, bytes=size, created_at=created_at, expires_at=expires_at, filename=filename, purpose=purpose)
