"""The tables of this API: files, batches, and the texts of batches that are under way."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from pipeline.gateway.database import Database

FILE: Final = "openai.sqlite3"
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, gone INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, tenant TEXT NOT NULL, status TEXT NOT NULL, input_file_id TEXT NOT NULL,
    created_at INTEGER NOT NULL, output_expires_s INTEGER NOT NULL, handed INTEGER NOT NULL DEFAULT 0,
    reserved INTEGER NOT NULL DEFAULT 0, value TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batches_by_status ON batches (status);
CREATE TABLE IF NOT EXISTS texts (
    batch TEXT NOT NULL, line INTEGER NOT NULL, input INTEGER NOT NULL, status INTEGER, outcome TEXT,
    PRIMARY KEY (batch, line, input)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unanswered ON texts (batch, line, input) WHERE status IS NULL;
PRAGMA user_version = 1;
"""
UNFINISHED: Final = ("validating", "in_progress", "finalizing", "cancelling")
"""States of a batch that is not at its end."""
VISIBLE: Final = "tenant = ? AND NOT gone AND expires_at > ?"
"""What a tenant sees of the files."""

Connection = sqlite3.Connection
Row = tuple[Any, ...]


def rows(database: Database, question: str, values: Sequence[Any] = ()) -> list[Row]:
    """All rows of a SELECT, for any thread but the event loop's; it sees every write that has returned."""
    return database.write_now(lambda connection: connection.execute(question, values).fetchall())
