"""Suggested scores: what is taken, what is kept, and for how long."""

import asyncio
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pipeline.gateway.perspective.suggestions import FILE_NAME, SuggestedScore, Suggestion, SuggestionStore
from tests.support.perspective import SUGGEST, Api, perspective_api

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "perspective.md"
CORAL = {
    "comment": {"text": "hello 😀 idiot"},
    "context": {"entries": [{"text": '{"url": "https://example.com"}'}]},
    "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}},
    "communityId": "Coral:https://example.com",
    "clientToken": "comment:42",
    "languages": ["en"],
}


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return perspective_api(tmp_path)


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What a person finds in the file."""
    with sqlite3.connect(folder / FILE_NAME) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def suggestion(text: str) -> Suggestion:
    return Suggestion(text=text, scores=(SuggestedScore("TOXICITY", 1),))


def test_a_suggestion_is_answered_and_kept_as_labelled_data(api: Api) -> None:
    response = api.post(SUGGEST, CORAL)

    assert response.json() == {"clientToken": "comment:42", "detectedLanguages": ["en"], "requestedLanguages": ["en"]}
    query = (
        "SELECT tenant, text, languages, community_id, client_token, context, attribute, span_begin, value "
        "FROM suggestions JOIN scores ON suggestion = id"
    )
    assert rows(api.folder, query) == [
        (
            *("default", "hello 😀 idiot", '["en"]', "Coral:https://example.com", "comment:42"),
            *('{"entries": [{"text": "{\\"url\\": \\"https://example.com\\"}"}]}', "TOXICITY", None, 1.0),
        )
    ]
    assert api.desk.asked == []
    assert (api.folder / FILE_NAME).stat().st_mode & 0o077 == 0


def test_spans_are_kept_in_the_units_they_came_in(api: Api) -> None:
    spans = [
        {"begin": 0, "end": 8, "score": {"value": 0, "type": "PROBABILITY"}},
        {"begin": "9", "end": 14, "score": {"value": "0.75"}},
    ]
    body = {
        "comment": CORAL["comment"],
        "attributeScores": {"INSULT": {"spanScores": spans}, "SPAM": {"summaryScore": {"value": 0}}},
    }

    assert api.post(SUGGEST, body).status_code == 200
    assert rows(api.folder, "SELECT attribute, span_begin, span_end, value FROM scores") == [
        ("INSULT", 0, 8, 0.0),
        ("INSULT", 9, 14, 0.75),
        ("SPAM", None, None, 0.0),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"comment": {"text": " "}}, "Comment must be non-empty."),
        ({"attributeScores": {}}, "Missing attribute_scores"),
        ({"attributeScores": {"NICE": {"summaryScore": {"value": 1}}}}, "Unknown requested attribute: NICE"),
        ({"attributeScores": {"TOXICITY": {}}}, "Attribute TOXICITY has neither a summary score nor span scores"),
        ({"attributeScores": {"TOXICITY": {"summaryScore": {}}}}, "A score of attribute TOXICITY has no value"),
        (
            {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 2}}}},
            "Scores of attribute TOXICITY must be between 0 and 1",
        ),
        (
            {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 1, "type": "RAW"}}}},
            "Requested score type RAW is not supported by attribute TOXICITY",
        ),
        (
            {"attributeScores": {"TOXICITY": {"spanScores": [{"end": 3, "score": {"value": 1}}]}}},
            "Span scores of attribute TOXICITY must have begin and end",
        ),
        (
            {"attributeScores": {"TOXICITY": {"spanScores": [{"begin": 0, "end": 15, "score": {"value": 1}}]}}},
            "Span scores of attribute TOXICITY must lie within the comment",
        ),
        ({"doNotStore": True}, 'Invalid JSON payload received. Unknown name "doNotStore": Cannot find field.'),
    ],
)
def test_what_is_malformed_is_refused_and_not_kept(api: Api, change: dict[str, object], message: str) -> None:
    response = api.post(SUGGEST, {**CORAL, **change})

    assert (response.status_code, response.json()["error"]["message"]) == (400, message)
    assert not (api.folder / FILE_NAME).exists()


def test_beyond_a_tenants_bounds_its_oldest_go(tmp_path: Path) -> None:
    store = SuggestionStore(tmp_path, suggestions_max=2, bytes_max=1_000)

    async def story() -> None:
        await store.add("other", suggestion("theirs"))
        for text in ("first", "second", "third"):
            await store.add("mine", suggestion(text))
        assert [text for (text,) in rows(tmp_path, "SELECT text FROM suggestions")] == ["theirs", "second", "third"]
        await store.add("mine", suggestion("x" * 700))

    asyncio.run(story())
    store.close()
    assert [text[:6] for (text,) in rows(tmp_path, "SELECT text FROM suggestions")] == ["theirs", "third", "xxxxxx"]
    assert rows(tmp_path, "SELECT count(*) FROM scores") == [(3,)]
    assert rows(tmp_path, "SELECT tenant, suggestions, bytes FROM held ORDER BY tenant") == rows(
        tmp_path, "SELECT tenant, count(*), sum(bytes) FROM suggestions GROUP BY tenant ORDER BY tenant"
    )


def test_the_documented_query_finds_them(api: Api) -> None:
    api.post(SUGGEST, CORAL)
    query = re.search(r"SELECT received_at.*?ORDER BY id", DOCUMENT.read_text("utf-8"), re.DOTALL)

    assert query is not None
    assert [row[1:] for row in rows(api.folder, query[0])] == [("hello 😀 idiot", "TOXICITY", 1.0)]


def test_suggestions_survive_a_restart(tmp_path: Path) -> None:
    for text in ("before", "after"):
        store = SuggestionStore(tmp_path)
        asyncio.run(store.add("default", suggestion(text)))
        store.close()

    assert [text for (text,) in rows(tmp_path, "SELECT text FROM suggestions")] == ["before", "after"]
