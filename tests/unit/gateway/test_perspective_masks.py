"""Partial responses."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.perspective.errors import CommentError
from pipeline.gateway.perspective.masks import apply_mask, parse_mask

RESPONSE = "AnalyzeCommentResponse"


def score(value: float) -> dict[str, Any]:
    return {"value": value, "type": "PROBABILITY"}


def scores(value: float) -> dict[str, Any]:
    return {"spanScores": [{"begin": 0, "end": 2, "score": score(value)}], "summaryScore": score(value)}


FULL = {
    "attributeScores": {"TOXICITY": scores(0.5), "INSULT": scores(0)},
    "languages": ["en"],
    "detectedLanguages": ["en", "zh"],
    "clientToken": "c",
}


def masked(fields: str) -> Any:
    """What `fields` leaves of the full response."""
    return apply_mask(FULL, parse_mask(fields, RESPONSE))


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ("languages", {"languages": ["en"]}),
        ("languages,clientToken", {"languages": ["en"], "clientToken": "c"}),
        (" languages , client_token ", {"languages": ["en"], "clientToken": "c"}),
        ("attributeScores,detectedLanguages,languages", {key: FULL[key] for key in FULL if key != "clientToken"}),  # a PHP client
        ("*", FULL),
        ("attributeScores/TOXICITY", {"attributeScores": {"TOXICITY": scores(0.5)}}),
        ("attributeScores.TOXICITY", {"attributeScores": {"TOXICITY": scores(0.5)}}),
        ("attributeScores(TOXICITY)", {"attributeScores": {"TOXICITY": scores(0.5)}}),
        (
            "attributeScores/*/summaryScore/value",
            {"attributeScores": {"TOXICITY": {"summaryScore": {"value": 0.5}}, "INSULT": {"summaryScore": {"value": 0}}}},
        ),
        (
            "attributeScores/TOXICITY(spanScores(begin,score/value))",
            {"attributeScores": {"TOXICITY": {"spanScores": [{"begin": 0, "score": {"value": 0.5}}]}}},
        ),
        (
            "attributeScores(TOXICITY/summaryScore/type,INSULT(summaryScore/value)),languages",
            {
                "attributeScores": {
                    "TOXICITY": {"summaryScore": {"type": "PROBABILITY"}},
                    "INSULT": {"summaryScore": {"value": 0}},
                },
                "languages": ["en"],
            },
        ),
        ("attributeScores/TOXICITY/summaryScore,attributeScores", {"attributeScores": FULL["attributeScores"]}),
        ("attributeScores,attributeScores/TOXICITY/summaryScore", {"attributeScores": FULL["attributeScores"]}),
        (
            "attributeScores(*/summaryScore/type,TOXICITY/summaryScore/value)",
            {"attributeScores": {"TOXICITY": {"summaryScore": score(0.5)}, "INSULT": {"summaryScore": {"type": "PROBABILITY"}}}},
        ),
        ("*/TOXICITY", {"attributeScores": {"TOXICITY": scores(0.5)}}),
        ("attributeScores/THREAT", {}),  # was not asked for
    ],
)
def test_a_mask_keeps_what_it_names(fields: str, kept: object) -> None:
    assert masked(fields) == kept


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ("nope", "nope"),
        ("languages/x", "languages.x"),
        ("attributeScores/TOXICITY/score", "attributeScores.TOXICITY.score"),
        ("attributeScores(TOXICITY(nope))", "nope"),
        ("languages,", "languages,"),
        (",", ","),
        ("languages clientToken", "languages clientToken"),
        ("attributeScores(TOXICITY", "attributeScores(TOXICITY"),
        ("attributeScores()", "attributeScores()"),
        ("languages)", "languages)"),
        ("/languages", "/languages"),
    ],
)
def test_a_mask_that_fits_nothing_is_refused(fields: str, path: str) -> None:
    with pytest.raises(CommentError, match=r"^Request contains an invalid argument\.$") as raised:
        parse_mask(fields, RESPONSE)

    description = f"Error expanding 'fields' parameter. Cannot find matching fields for path '{path}'."
    assert raised.value.details[0]["fieldViolations"] == [{"field": fields, "description": description}]


@pytest.mark.parametrize("fields", ["*(" * 10_000, "*/" * 10_000 + "*", "attributeScores(" * 10_000])
def test_nesting_has_an_end(fields: str) -> None:
    with pytest.raises(CommentError):
        parse_mask(fields, RESPONSE)


def is_part(part: Any, whole: Any) -> bool:
    """Whether `part` is `whole` with something left out."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and is_part(part[key], whole[key]) for key in part)
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(any(is_part(one, other) for other in whole) for one in part)
    return bool(part == whole)


NAMES = st.sampled_from(["attributeScores", "TOXICITY", "summaryScore", "spanScores", "value", "score", "languages", "*", "x"])
FIELDS = st.lists(NAMES | st.sampled_from(["(", ")", "/", ",", " ", "."]), max_size=12).map("".join)
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=4).map("/".join), min_size=1, max_size=3).map(",".join)


@given(FIELDS | PATHS | st.text(max_size=20))
def test_a_mask_only_leaves_out_and_twice_is_once(fields: str) -> None:
    try:
        mask = parse_mask(fields, RESPONSE)
    except CommentError:
        return
    kept = apply_mask(FULL, mask)
    assert is_part(kept, FULL)
    assert apply_mask(kept, mask) == kept
