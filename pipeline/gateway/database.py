"""One SQLite file, off the event loop: one thread writes, another reads, and writes that come together share one commit.

A commit reaches the disk before its writers go on. SQLite takes milliseconds for that; sharing it makes many small writes cheap.
"""

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final, TypeVar

from pipeline.gateway.contract import Unavailable

BATCH_MAX: Final = 256
"""Writes in one commit: more would make the first of them wait."""
BUSY_S: Final = 10.0
"""How long a write waits for another program that has the file open, such as a backup."""
_SETTINGS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = FAST",
    "PRAGMA journal_size_limit = 67108864",
)

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
_Write = tuple[Operation[Any], Future[Any]]

_log = logging.getLogger(__name__)


class Database:
    """A file and its threads, from the first operation to `close`, and again after that.

    An operation that raises undoes what it did, and nothing of others.
    """

    def __init__(self, file: Path, schema: str) -> None:
        self._file = file
        self._schema = schema
        self._lock = threading.Lock()
        self._writes: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._reading: sqlite3.Connection | None = None

    def close(self) -> None:
        """Finish what was begun and end the threads; blocks for so long."""
        with self._lock:
            writer, readers = self._writer, self._readers
            self._writer = self._readers = None
            self._writes.put(None)
            if writer is None or readers is None:
                return
            writer.join()
            readers.shutdown()
            if self._reading is not None:
                self._reading.close()
                self._reading = None

    def _open(self) -> ThreadPoolExecutor:
        if self._readers is None:
            try:
                os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
                connection = self._connect()
                connection.executescript(self._schema)
            except (OSError, sqlite3.Error) as error:
                raise Unavailable(f"{self._file.name} cannot be opened: {error}") from error
            self._readers = ThreadPoolExecutor(1, f"{self._file.stem}-reads")
            self._writes = queue.SimpleQueue()
            self._writer = threading.Thread(target=self._write_all, args=(connection,), name=self._file.stem, daemon=True)
            self._writer.start()
        return self._readers

    async def write(self, operation: Operation[T]) -> T:
        """What `operation` gives, once it is on the disk; raises Unavailable where SQLite cannot write, and what it raises."""
        return await asyncio.wrap_future(self.post(operation))

    def write_now(self, operation: Operation[T]) -> T:
        """The same for other threads than the event loop's."""
        return self.post(operation).result()

    def post(self, operation: Operation[T]) -> Future[T]:
        """The same without waiting."""
        done: Future[T] = Future()
        with self._lock:
            self._open()
            self._writes.put((operation, done))
        return done

    async def read(self, operation: Operation[T]) -> T:
        """What `operation` finds of all that was committed; raises Unavailable where SQLite cannot read."""
        with self._lock:
            reading = self._open().submit(self._read, operation)
        try:
            return await asyncio.wrap_future(reading)
        except sqlite3.Error as error:
            raise Unavailable(f"{self._file.name} cannot be read: {error}") from error

    def _read(self, operation: Operation[T]) -> T:
        if self._reading is None:
            self._reading = self._connect()
        return operation(self._reading)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        for setting in _SETTINGS:
            connection.execute(setting)
        return connection

    def _write_all(self, connection: sqlite3.Connection) -> None:
        writes = self._writes
        with closing(connection):
            while batch := _next_batch(writes):
                self._commit(connection, batch)

    def _commit(self, connection: sqlite3.Connection, batch: list[_Write]) -> None:
        wanted = [write for write in batch if write[1].set_running_or_notify_cancel()]
        done: list[tuple[Future[Any], Any]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for operation, future in wanted:
                _run(connection, operation, future, done)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            _log.error("%s cannot be written: %s", self._file, error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for _, future in wanted:
                if not future.done():
                    future.set_exception(Unavailable(f"{self._file.name} cannot be written: {error}"))
            return
        for future, value in done:
            future.set_result(value)


def _next_batch(writes: queue.SimpleQueue[_Write | None]) -> list[_Write]:
    """What waits, at least one write; nothing at the end."""
    batch: list[_Write] = []
    while len(batch) < BATCH_MAX and not (batch and writes.empty()):
        write = writes.get()
        if write is None:
            writes.put(None)
            break
        batch.append(write)
    return batch


def _run(
    connection: sqlite3.Connection, operation: Operation[Any], future: Future[Any], done: list[tuple[Future[Any], Any]]
) -> None:
    connection.execute("SAVEPOINT one")
    try:
        done.append((future, operation(connection)))
    except sqlite3.OperationalError:  # the disk or the file, which is everybody's trouble
        raise
    except Exception as error:  # noqa: BLE001 (whoever asked for the operation gets it)
        connection.execute("ROLLBACK TO one")
        future.set_exception(error)
    connection.execute("RELEASE one")
