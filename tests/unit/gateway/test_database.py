"""One file, two threads: writes are shared and safe, a failure touches nobody else, and after a close it goes on."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.gateway.contract import Unavailable
from pipeline.gateway.database import Database
from tests.support.gateway import story

SCHEMA = "CREATE TABLE IF NOT EXISTS t (x INTEGER UNIQUE)"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "a.sqlite3", SCHEMA)
    yield made
    made.close()


def insert(value: int) -> object:
    """An operation."""
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (value,)).rowcount


def values(connection: sqlite3.Connection) -> list[int]:
    """All that is there."""
    return [row[0] for row in connection.execute("SELECT x FROM t ORDER BY x")]


@story
async def test_what_is_written_is_read(database: Database) -> None:
    assert await database.write(insert(1)) == 1
    assert await database.read(values) == [1]


@story
async def test_many_writes_at_once_all_arrive(database: Database) -> None:
    await asyncio.gather(*(database.write(insert(number)) for number in range(600)))
    assert await database.read(values) == list(range(600))


@story
async def test_an_operation_that_fails_undoes_itself_and_nothing_else(database: Database) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (2)")
        raise LookupError

    writes = [database.write(operation) for operation in (insert(1), half, insert(1), insert(3))]
    found = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(one) for one in found] == [int, LookupError, sqlite3.IntegrityError, int]
    assert await database.read(values) == [1, 3]


@story
async def test_writes_keep_their_order(database: Database) -> None:
    database.post(insert(1))
    assert await database.write(values) == [1]


def test_a_close_finishes_what_was_begun_and_the_file_is_ours_alone(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite3", SCHEMA)
    done = [database.post(insert(number)) for number in range(100)]
    database.close()
    assert all(one.done() for one in done)
    assert (tmp_path / "a.sqlite3").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(tmp_path / "a.sqlite3") as connection:
        assert values(connection) == list(range(100))
    connection.close()


@story
async def test_after_a_close_it_opens_again(database: Database) -> None:
    await database.write(insert(1))
    database.close()
    await database.write(insert(2))
    assert await database.read(values) == [1, 2]


def test_closing_what_was_never_opened_is_nothing(tmp_path: Path) -> None:
    Database(tmp_path / "a.sqlite3", SCHEMA).close()
    assert list(tmp_path.iterdir()) == []


@story
async def test_a_disk_that_does_not_play_along_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite3").write_bytes(b"no database, and longer than a header of one " * 40)
    with pytest.raises(Unavailable):
        await Database(tmp_path / "a.sqlite3", SCHEMA).write(insert(1))
    with pytest.raises(Unavailable):
        await Database(tmp_path / "no" / "folder", SCHEMA).read(values)


@story
async def test_a_table_that_is_gone_is_unavailable_and_does_not_end_the_thread(database: Database) -> None:
    await database.write(lambda connection: connection.execute("ALTER TABLE t RENAME TO u"))
    with pytest.raises(Unavailable):
        await database.write(insert(1))
    with pytest.raises(Unavailable):
        await database.read(values)
    await database.write(lambda connection: connection.execute("ALTER TABLE u RENAME TO t"))
    assert await database.write(insert(1)) == 1
