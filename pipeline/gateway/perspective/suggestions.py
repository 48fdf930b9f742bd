"""Suggested scores, kept as labelled data: `suggestscore` to rows, and the SQLite file that holds them."""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pipeline.gateway.database import Database
from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.analysis import check_context, check_known, check_score_type, comment_text
from pipeline.gateway.perspective.errors import invalid_request
from pipeline.gateway.perspective.sentences import utf16_length

FILE_NAME: Final = "suggestions.sqlite"
_SCORE_BYTES: Final = 64
"""What a row of a score takes, about."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS suggestions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL,
    received_at TEXT NOT NULL,
    text TEXT NOT NULL,
    languages TEXT NOT NULL,
    community_id TEXT,
    client_token TEXT,
    context TEXT,
    bytes INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS suggestions_by_tenant ON suggestions (tenant, id);
CREATE TABLE IF NOT EXISTS scores (
    suggestion INTEGER NOT NULL REFERENCES suggestions (id),
    attribute TEXT NOT NULL,
    span_begin INTEGER,
    span_end INTEGER,
    value REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS scores_by_suggestion ON scores (suggestion);
CREATE TABLE IF NOT EXISTS held (
    tenant TEXT PRIMARY KEY,
    suggestions INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class SuggestedScore:
    """One score; `begin` and `end`, in UTF-16 code units, are None for the whole text."""

    attribute: str
    value: float
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one call suggests. `context` is as the caller gave it."""

    text: str
    scores: tuple[SuggestedScore, ...]
    languages: tuple[str, ...] = ()
    community_id: str | None = None
    client_token: str | None = None
    context: Mapping[str, Any] | None = None
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def suggestion_of(request: Mapping[str, Any]) -> Suggestion:
    """What the bound SuggestCommentScoreRequest says; raises CommentError for the first thing that is wrong."""
    text = comment_text(request)
    check_context(request)
    attributes: Mapping[str, Mapping[str, Any]] = request.get("attributeScores") or {}
    if not attributes:
        raise invalid_request(choices.MISSING_SCORES)
    units = utf16_length(text)
    return Suggestion(
        text=text,
        scores=tuple(score for name, given in attributes.items() for score in _scores(name, given, units)),
        languages=tuple(request.get("languages") or ()),
        community_id=request.get("communityId"),
        client_token=request.get("clientToken"),
        context=request.get("context"),
    )


def _scores(name: str, given: Mapping[str, Any], units: int) -> Iterator[SuggestedScore]:
    check_known(name)
    summary, spans = given.get("summaryScore"), given.get("spanScores") or []
    if summary is None and not spans:
        raise invalid_request(choices.MISSING_SCORE.format(name=name))
    if summary is not None:
        yield SuggestedScore(name, _value(name, summary))
    for span in spans:
        if "begin" not in span or "end" not in span:
            raise invalid_request(choices.SPAN_WITHOUT_ENDS.format(name=name))
        if not 0 <= span["begin"] <= span["end"] <= units:
            raise invalid_request(choices.SPAN_OUTSIDE.format(name=name))
        yield SuggestedScore(name, _value(name, span.get("score") or {}), span["begin"], span["end"])


def _value(name: str, score: Mapping[str, Any]) -> float:
    check_score_type(name, score.get("type"))
    if "value" not in score:
        raise invalid_request(choices.NO_VALUE.format(name=name))
    value: float = score["value"]
    if not 0 <= value <= 1:
        raise invalid_request(choices.NO_PROBABILITY.format(name=name))
    return value


class SuggestionStore:
    """The suggestions of all tenants in one file, which opens with its first use."""

    def __init__(
        self,
        folder: Path,
        suggestions_max: int = choices.SUGGESTIONS_MAX,
        bytes_max: int = choices.SUGGESTIONS_BYTES_MAX,
    ) -> None:
        self._database = Database(folder / FILE_NAME, _SCHEMA)
        self._suggestions_max = suggestions_max
        self._bytes_max = bytes_max

    def close(self) -> None:
        """Finish what was begun and let go of the file. Blocks."""
        self._database.close()

    async def add(self, tenant: str, suggestion: Suggestion) -> None:
        """Store a suggestion durably; beyond the tenant's bounds its oldest ones go. Raises Unavailable."""

        def write(connection: sqlite3.Connection) -> None:
            _insert(connection, tenant, suggestion)
            while self._too_much(connection, tenant):
                _drop_oldest(connection, tenant)

        await self._database.write(write)

    def _too_much(self, connection: sqlite3.Connection, tenant: str) -> bool:
        query = "SELECT suggestions > ? OR bytes > ? FROM held WHERE tenant = ?"
        found = connection.execute(query, (self._suggestions_max, self._bytes_max, tenant)).fetchone()
        return bool(found[0])


def _drop_oldest(connection: sqlite3.Connection, tenant: str) -> None:
    query = "SELECT id, bytes FROM suggestions WHERE tenant = ? ORDER BY id LIMIT 1"
    oldest, size = connection.execute(query, (tenant,)).fetchone()
    connection.execute("DELETE FROM scores WHERE suggestion = ?", (oldest,))
    connection.execute("DELETE FROM suggestions WHERE id = ?", (oldest,))
    _count(connection, tenant, -1, -size)


def _insert(connection: sqlite3.Connection, tenant: str, suggestion: Suggestion) -> None:
    context = None if suggestion.context is None else json.dumps(suggestion.context, ensure_ascii=False)
    texts = (suggestion.text, json.dumps(suggestion.languages), suggestion.community_id, suggestion.client_token, context)
    size = sum(len(text.encode()) for text in texts if text) + _SCORE_BYTES * (len(suggestion.scores) + 1)
    inserted = connection.execute(
        "INSERT INTO suggestions (tenant, received_at, text, languages, community_id, client_token, context, bytes) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (tenant, suggestion.received_at.isoformat(), *texts, size),
    )
    rows = [(inserted.lastrowid, score.attribute, score.begin, score.end, score.value) for score in suggestion.scores]
    connection.executemany("INSERT INTO scores VALUES (?, ?, ?, ?, ?)", rows)
    _count(connection, tenant, 1, size)


def _count(connection: sqlite3.Connection, tenant: str, suggestions: int, size: int) -> None:
    connection.execute(
        "INSERT INTO held VALUES (?1, ?2, ?3) "
        "ON CONFLICT (tenant) DO UPDATE SET suggestions = suggestions + ?2, bytes = bytes + ?3",
        (tenant, suggestions, size),
    )
