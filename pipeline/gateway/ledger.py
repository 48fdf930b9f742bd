"""What the desk must not forget: how far it has read, and which jobs it handed over that have no outcome. One SQLite file."""

import sqlite3
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from kafka import TopicPartition

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, part INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS handed_over (
    job_id TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID;
"""


class Ledger:
    """For all threads. After a crash of the machine it may know an older state: what it has forgotten comes again."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(file, check_same_thread=False)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")
        self._file.executescript(_TABLES)

    def positions(self, topics: Collection[str]) -> dict[TopicPartition, int]:
        """The next offset to read of each partition that was ever stored."""
        with self._lock:
            rows = self._file.execute("SELECT topic, part, next FROM positions").fetchall()
        return {TopicPartition(topic, part): offset for topic, part, offset in rows if topic in topics}

    def store(self, positions: Mapping[TopicPartition, int], resolved: Collection[str] = ()) -> None:
        """Read so far, and these jobs have their outcome: both or neither."""
        rows = [(place.topic, place.partition, offset) for place, offset in positions.items()]
        with self._lock, self._file:
            self._file.executemany("INSERT OR REPLACE INTO positions VALUES (?, ?, ?)", rows)
            self._file.executemany("DELETE FROM handed_over WHERE job_id = ?", [(job_id,) for job_id in resolved])

    def hand_over(self, job_ids: Sequence[str], at_ms: int) -> None:
        """These jobs are about to be published; one that was handed over before keeps its time."""
        with self._lock, self._file:
            self._file.executemany("INSERT OR IGNORE INTO handed_over VALUES (?, ?)", [(job_id, at_ms) for job_id in job_ids])

    def handed_over(self, since_ms: int) -> dict[str, int]:
        """Unix milliseconds by job, the oldest first; forgets all that are older than `since_ms`."""
        with self._lock, self._file:
            self._file.execute("DELETE FROM handed_over WHERE at_ms < ?", (since_ms,))
            return dict(self._file.execute("SELECT job_id, at_ms FROM handed_over ORDER BY at_ms").fetchall())

    def close(self) -> None:
        """Nothing can be asked or stored any more."""
        with self._lock:
            self._file.close()
