"""Jobs of POST /v1/jobs and what came of them, on disk. Every look-up is by tenant.

A job is NEW once it is here, PUBLISHED when Kafka has it, then DONE or DEAD. Its text is kept only while it is NEW: from it the
job is handed over again after a crash. Each outcome gets the next number of a sequence that never falls back, by which listeners
resume.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from pydantic_core import from_json, to_json

from pipeline.clock import now_ms
from pipeline.gateway.contract import Outcome, Overloaded
from pipeline.gateway.database import Database
from pipeline.gateway.dialect import ApiError
from schemas.jobs import TextJob

FILE: Final = "jobs.sqlite3"
WAITING_MAX: Final = 1_000
"""Ids that are told of jobs without an outcome; the next follow when these are found."""
PURGE_ROWS: Final = 1_000
"""Rows deleted in one write: other writes wait no longer than that takes."""
FULL_RETRY_S: Final = 5.0
"""When to try again where too many jobs have no outcome: some will have by then."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    job_id TEXT NOT NULL PRIMARY KEY, tenant TEXT NOT NULL, created_ms INTEGER NOT NULL, state INTEGER NOT NULL,
    payload BLOB, seq INTEGER, outcome BLOB);
CREATE INDEX IF NOT EXISTS jobs_open ON jobs (state, created_ms) WHERE state < 2;
CREATE INDEX IF NOT EXISTS jobs_closed ON jobs (tenant, seq) WHERE seq IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_age ON jobs (created_ms);
CREATE TABLE IF NOT EXISTS requests (
    tenant TEXT NOT NULL, key TEXT NOT NULL, sha256 TEXT NOT NULL, created_ms INTEGER NOT NULL, job_ids TEXT NOT NULL,
    PRIMARY KEY (tenant, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS requests_age ON requests (created_ms);
CREATE TABLE IF NOT EXISTS sequence (last INTEGER NOT NULL);
INSERT INTO sequence SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM sequence);
PRAGMA user_version = 1;
"""
_OLD_JOBS: Final = "DELETE FROM jobs WHERE job_id IN (SELECT job_id FROM jobs WHERE created_ms < ? LIMIT ?)"
_OLD_REQUESTS: Final = (
    "DELETE FROM requests WHERE (tenant, key) IN (SELECT tenant, key FROM requests WHERE created_ms < ? LIMIT ?)"
)
_OLDEST_CLOSED: Final = "DELETE FROM jobs WHERE job_id IN (SELECT job_id FROM jobs WHERE state >= 2 ORDER BY created_ms LIMIT ?)"
_OLDEST: Final = "SELECT min(created_ms) FROM jobs"
_KEPT: Final = ("code", "stage", "attempts", "failed_at", "unscored_verdict")
"""Of a dead letter."""
_COLUMNS: Final = "job_id, tenant, created_ms, state, seq, outcome"
# A job that was dead-lettered and then replayed by a person gets its result after all; a result is never taken back.
_CLOSE: Final = """
UPDATE jobs SET state = ?2, outcome = ?3, seq = ?4, payload = NULL
WHERE job_id = ?1 AND (state < 2 OR (state = 3 AND ?2 = 2))
"""


class State(IntEnum):
    """How far a job has come."""

    NEW = 0
    PUBLISHED = 1
    DONE = 2
    DEAD = 3


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job as it is known; `outcome` is JSON: the result, or of a dead letter what concerns its sender."""

    job_id: str
    tenant: str
    created_ms: int
    state: State
    seq: int | None = None
    outcome: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """An Idempotency-Key, and the body that came with it."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The jobs of a request, in order; not `fresh` where an earlier request with the same key has made them."""

    job_ids: tuple[str, ...]
    fresh: bool


class JobStore:
    """For all threads; coroutines for the event loop's. Raises Unavailable where the disk does not play along."""

    def __init__(self, folder: Path, open_max: int) -> None:
        self._database = Database(folder / FILE, _SCHEMA)
        self._open_max = open_max
        self._open = 0

    async def open(self) -> None:
        """Make or find the file, and count what has no outcome."""
        await asyncio.to_thread(self._database.write_now, self._count_open)

    def close(self) -> None:
        """Let go of the file, until something is asked of it again; blocks until what was begun is written."""
        self._database.close()

    async def begin(self, tenant: str, jobs: Sequence[TextJob], claim: Claim | None) -> Begun:
        """Keep new jobs, or find those of an earlier request with the same claim, in one step.

        Raises Overloaded where too many jobs have no outcome, and ApiError 409 where the key came with another body.
        """
        at_ms = now_ms()
        rows = [(job.job_id, tenant, _ms(job), State.NEW, to_json(job)) for job in jobs]

        def begin(connection: sqlite3.Connection) -> Begun:
            if claim and (known := _claimed(connection, tenant, claim)):
                return Begun(known, fresh=False)
            if self._open and self._open + len(rows) > self._open_max:
                raise Overloaded(FULL_RETRY_S)
            job_ids = tuple(row[0] for row in rows)
            if claim:
                values = tenant, claim.key, claim.sha256, at_ms, json.dumps(job_ids)
                connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?, ?)", values)
            connection.executemany("INSERT INTO jobs (job_id, tenant, created_ms, state, payload) VALUES (?, ?, ?, ?, ?)", rows)
            self._open += len(rows)
            return Begun(job_ids, fresh=True)

        return await self._database.write(begin)

    def published(self, job_ids: Sequence[str]) -> None:
        """Kafka has these. Written soon, not waited for: forgetting it means publishing the same job again."""
        rows = [(State.PUBLISHED, job_id, State.NEW) for job_id in job_ids]
        self._database.post(
            lambda connection: connection.executemany(
                "UPDATE jobs SET state = ?, payload = NULL WHERE job_id = ? AND state = ?", rows
            )
        )

    async def forget(self, tenant: str, job_ids: Sequence[str], claim: Claim | None) -> None:
        """These were not accepted after all."""

        def forget(connection: sqlite3.Connection) -> None:
            rows = [(job_id,) for job_id in job_ids]
            connection.executemany("DELETE FROM jobs WHERE job_id = ?", rows)
            if claim:
                connection.execute("DELETE FROM requests WHERE tenant = ? AND key = ?", (tenant, claim.key))
            self._count_open(connection)

        await self._database.write(forget)

    def take(self, outcomes: Sequence[Outcome]) -> list[StoredJob]:
        """Keep the outcomes of jobs that are here, once; returns those that are news, in order. Blocks until they are safe."""
        rows = [(found.job_id, State.DEAD if found.dead else State.DONE, kept_outcome(found)) for found in outcomes]

        def take(connection: sqlite3.Connection) -> list[StoredJob]:
            (last,) = connection.execute("SELECT last FROM sequence").fetchone()
            closed: list[str] = []
            for job_id, state, outcome in rows:
                if connection.execute(_CLOSE, (job_id, state, outcome, last + 1)).rowcount:
                    last += 1
                    closed.append(job_id)
            if closed:
                connection.execute("UPDATE sequence SET last = ?", (last,))
                self._count_open(connection)
            return _select(connection, closed)

        return self._database.write_now(take)

    async def find(self, tenant: str, job_ids: Sequence[str]) -> dict[str, StoredJob]:
        """Those of these jobs that are the tenant's, by id."""
        found = await self._database.read(lambda connection: _select(connection, job_ids))
        return {job.job_id: job for job in found if job.tenant == tenant}

    async def events(self, tenant: str, after: int, limit: int) -> list[StoredJob]:
        """The tenant's outcomes with higher numbers than `after`, the lowest first."""
        query = f"SELECT {_COLUMNS} FROM jobs WHERE tenant = ? AND seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 (a constant)
        return await self._database.read(lambda connection: _jobs(connection.execute(query, (tenant, after, limit))))

    async def last_event(self) -> int:
        """The number of the latest outcome, whosever it is."""
        return int(await self._database.read(lambda connection: connection.execute("SELECT last FROM sequence").fetchone()[0]))

    async def unpublished(self) -> list[str]:
        """The ids of all NEW jobs, the oldest first."""
        query = "SELECT job_id FROM jobs WHERE state = 0 ORDER BY created_ms"
        return await self._database.write(lambda connection: [row[0] for row in connection.execute(query)])

    async def payloads(self, job_ids: Sequence[str]) -> list[TextJob]:
        """Those of these jobs that are NEW, as they came."""
        query = "SELECT payload FROM jobs WHERE job_id = ? AND state = 0"

        def payloads(connection: sqlite3.Connection) -> list[bytes]:
            return [row[0] for job_id in job_ids for row in connection.execute(query, (job_id,))]

        # Asked of the writer, behind what `published` has left there: a reader could not see that yet.
        return [TextJob.model_validate_json(payload) for payload in await self._database.write(payloads)]

    def waiting(self) -> list[str]:
        """Some ids of jobs without an outcome, the oldest first."""
        query = "SELECT job_id FROM jobs WHERE state < 2 ORDER BY created_ms LIMIT ?"
        return self._database.write_now(lambda connection: [row[0] for row in connection.execute(query, (WAITING_MAX,))])

    async def purge(self, keep_ms: int, jobs_max: int) -> None:
        """Forget what is older than `keep_ms`, and the oldest closed jobs where more than `jobs_max` are kept."""
        before_ms = now_ms() - keep_ms
        await self._delete(_OLD_JOBS, (before_ms,))
        await self._delete(_OLD_REQUESTS, (before_ms,))
        (kept,) = await self._database.read(lambda connection: connection.execute("SELECT count(*) FROM jobs").fetchone())
        if kept > jobs_max:
            await self._delete(_OLDEST_CLOSED, (), kept - jobs_max)
            (oldest_ms,) = await self._database.read(lambda connection: connection.execute(_OLDEST).fetchone())
            await self._delete(_OLD_REQUESTS, (oldest_ms or 0,))
        await self._database.write(self._count_open)

    async def _delete(self, query: str, values: tuple[int, ...], rows_max: int = 1 << 62) -> None:
        deleted = rows = min(PURGE_ROWS, rows_max)
        while rows and deleted == rows:
            rows = min(PURGE_ROWS, rows_max)
            deleted = await self._database.write(_deletion(query, (*values, rows)))
            rows_max -= deleted

    def _count_open(self, connection: sqlite3.Connection) -> None:
        (self._open,) = connection.execute("SELECT count(*) FROM jobs WHERE state < 2").fetchone()


def _deletion(query: str, values: tuple[int, ...]) -> Callable[[sqlite3.Connection], int]:
    return lambda connection: connection.execute(query, values).rowcount


def _claimed(connection: sqlite3.Connection, tenant: str, claim: Claim) -> tuple[str, ...]:
    """The jobs of an earlier request with this claim, if there was one; raises ApiError where its body was another."""
    query = "SELECT sha256, job_ids FROM requests WHERE tenant = ? AND key = ?"
    row = connection.execute(query, (tenant, claim.key)).fetchone()
    if row is None:
        return ()
    if row[0] != claim.sha256:
        message = "This Idempotency-Key was used with another body."
        raise ApiError(409, message, code="idempotency_key_reused", headers={"x-should-retry": "false"})
    return tuple(json.loads(row[1]))


def _select(connection: sqlite3.Connection, job_ids: Iterable[str]) -> list[StoredJob]:
    query = f"SELECT {_COLUMNS} FROM jobs WHERE job_id = ?"  # noqa: S608 (a constant)
    return [job for job_id in job_ids for job in _jobs(connection.execute(query, (job_id,)))]


def _jobs(rows: Iterable[tuple[str, str, int, int, int | None, bytes | None]]) -> list[StoredJob]:
    return [
        StoredJob(job_id, tenant, created_ms, State(state), seq, outcome)
        for job_id, tenant, created_ms, state, seq, outcome in rows
    ]


def kept_outcome(outcome: Outcome) -> bytes:
    """What is kept of an outcome, as JSON in one line; of a dead letter not the original, which holds the text."""
    if not outcome.dead:
        return outcome.value if b"\n" not in outcome.value else to_json(from_json(outcome.value))
    letter = from_json(outcome.value)
    kept = {name: letter[name] for name in _KEPT if name in letter}
    return to_json({"message": letter.get("reason"), **kept})


def _ms(job: TextJob) -> int:
    return int(job.created_at.timestamp() * 1000)
