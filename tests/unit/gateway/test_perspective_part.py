"""The API over HTTP: what real clients send, each in its own way, and what they read of the reply."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.gateway.contract import Late, Outcome, Overloaded, Unavailable
from schemas.jobs import TextJob
from tests.support.desk import dead_letter, outcome_of
from tests.support.perspective import ANALYZE, SUGGEST, Api, manifest, perspective_api

PRODUCTION = ("TOXICITY", "SEVERE_TOXICITY", "IDENTITY_ATTACK", "INSULT", "PROFANITY", "THREAT")


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return perspective_api(tmp_path)


def request(text: str, *attributes: str, **more: object) -> dict[str, Any]:
    """The body of a call of analyze."""
    return {"comment": {"text": text}, "requestedAttributes": {name: {} for name in attributes or ("TOXICITY",)}, **more}


def summary(answer: dict[str, Any], name: str) -> float:
    """The summary score of an attribute."""
    value = answer["attributeScores"][name]["summaryScore"]["value"]
    assert isinstance(value, float)
    return value


@pytest.mark.parametrize(
    ("body", "query"),
    [
        pytest.param(request("you idiot", doNotStore=True), {}, id="perspective-api-client"),
        pytest.param(
            request("you idiot", "SPAM", "TOXICITY", languages=["en"], doNotStore=True),
            {"key": "k"},
            id="perspectiveapi-js-client",
        ),
        pytest.param(request("you idiot", *PRODUCTION), {"key": "k", "alt": "json"}, id="perspective.py"),
        pytest.param(request("you idiot", languages=["en"]), {}, id="garak, lm-eval"),
        pytest.param(request("you idiot", spanAnnotations=True, languages=["en"]), {}, id="helm"),
        pytest.param(
            {
                **request("you idiot", languages=["en-US"], doNotStore=True),
                "context": {"entries": [{"text": "an article"}]},
                "communityId": "Coral:https://example.com",
                "clientToken": "comment:1",
            },
            {"key": "k"},
            id="coral",
        ),
        pytest.param(
            {
                "comment": {"text": "you idiot"},
                "doNotStore": True,
                "sessionId": "forum_alice",
                "requestedAttributes": {"TOXICITY": {"scoreType": "PROBABILITY"}},
            },
            {},
            id="discourse",
        ),
        pytest.param(
            {
                "comment": {"text": "you idiot", "type": None},
                "languages": None,
                "context": None,
                "requestedAttributes": {"TOXICITY": {"scoreType": None, "scoreThreshold": None}},
                "spanAnnotations": None,
                "doNotStore": None,
                "clientToken": None,
                "sessionId": None,
            },
            {"fields": "attributeScores,detectedLanguages,languages"},
            id="a PHP client",
        ),
        pytest.param({**request("you idiot"), "requestedAttributes": {"TOXICITY": []}}, {}, id="another PHP client"),
        pytest.param(b'{comment: {text: "you idiot"}, languages: ["en"], requestedAttributes: {TOXICITY: {}} }', {}, id="curl"),
        pytest.param(request("you idiot", languages=[]), {}, id="languages unset"),
    ],
)
def test_what_a_real_client_sends_gets_every_score_that_it_reads(api: Api, body: object, query: dict[str, str]) -> None:
    response = api.post(ANALYZE, body, **query)

    assert response.status_code == 200, response.text
    answer = response.json()
    asked = body["requestedAttributes"] if isinstance(body, dict) else ("TOXICITY",)
    assert set(answer["attributeScores"]) == set(asked), "clients index without looking"
    assert summary(answer, "TOXICITY") == 0.982
    assert answer["attributeScores"]["TOXICITY"]["spanScores"] == [
        {"begin": 0, "end": 9, "score": {"value": 0.982, "type": "PROBABILITY"}}
    ]
    assert answer["detectedLanguages"] == ["en"]


@pytest.mark.parametrize(
    "content_type", ["application/json", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", ""]
)
@pytest.mark.parametrize("path", [ANALYZE, "/v1alpha1/comments%3Aanalyze"])
def test_neither_the_type_nor_the_colon_matters(api: Api, content_type: str, path: str) -> None:
    with api.client() as client:
        response = client.post(path, content=json.dumps(request("hello")), headers={"content-type": content_type})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=UTF-8"


def test_a_reply_looks_as_googles(api: Api) -> None:
    assert api.post(ANALYZE, request("hi 😀", clientToken="c")).text == (
        '{\n  "attributeScores": {\n    "TOXICITY": {\n      "spanScores": [\n        {\n          "begin": 0,\n'
        '          "end": 5,\n          "score": {\n            "value": 0.018,\n            "type": "PROBABILITY"\n'
        '          }\n        }\n      ],\n      "summaryScore": {\n        "value": 0.018,\n'
        '        "type": "PROBABILITY"\n      }\n    }\n  },\n  "languages": [\n    "en"\n  ],\n'
        '  "detectedLanguages": [\n    "en"\n  ],\n  "clientToken": "c"\n}\n'
    )
    compact = api.post(
        ANALYZE, request("hi"), prettyPrint="false", fields="languages,attributeScores/TOXICITY/summaryScore/value"
    )
    assert compact.text == '{"attributeScores":{"TOXICITY":{"summaryScore":{"value":0.018}}},"languages":["en"]}\n'


def test_each_sentence_is_a_job_and_has_its_span(api: Api) -> None:
    answer = api.analyze("Hello 😀 world. You idiot! Hello 😀 world.", spanAnnotations=True)

    spans = answer["attributeScores"]["TOXICITY"]["spanScores"]
    assert [(span["begin"], span["end"], span["score"]["value"]) for span in spans] == [
        (0, 15, 0.018),
        (16, 26, 0.982),
        (27, 42, 0.018),
    ]
    assert summary(answer, "TOXICITY") == 0.982
    whole, *parts = api.desk.asked
    assert [job.text for job in parts] == ["Hello 😀 world.", "You idiot!"], "the same sentence is scored once"
    assert [job.metadata for job in parts] == [{"span_of": whole.job_id}] * 2
    assert api.gate.spent == [0, 3]


def test_spans_of_a_long_text_are_bounded_and_cover_it(api: Api) -> None:
    text = " ".join(f"Sentence {number}!" for number in range(999))
    spans = api.analyze(text, spanAnnotations=True)["attributeScores"]["TOXICITY"]["spanScores"]

    assert len(spans) == len(api.desk.asked) - 1 == 50
    assert (spans[0]["begin"], spans[-1]["end"]) == (0, len(text))


def test_a_sentence_with_nothing_to_score_has_no_span(api: Api) -> None:
    async def ask(jobs: Sequence[TextJob], _wait_s: float | None = None) -> list[Outcome]:
        buried = [Outcome(job.job_id, dead_letter(job).model_dump_json().encode(), dead=True) for job in jobs]
        return [bury if job.text == "\u200b" else outcome_of(job) for job, bury in zip(jobs, buried, strict=True)]

    api.desk.ask = ask  # type: ignore[method-assign]
    spans = api.analyze("Hello.\n\u200b\nYou idiot.", spanAnnotations=True)["attributeScores"]["TOXICITY"]["spanScores"]
    assert [(span["begin"], span["end"]) for span in spans] == [(0, 6), (9, 19)]


@pytest.mark.parametrize(
    ("threshold", "kept"), [(None, True), (0.982, True), ("0.98", True), (0.9821, False), (1, False), (0, True)]
)
def test_an_attribute_below_its_threshold_is_left_out(api: Api, threshold: object, *, kept: bool) -> None:
    body = {"comment": {"text": "you idiot"}, "requestedAttributes": {"TOXICITY": {"scoreThreshold": threshold}}}
    assert ("attributeScores" in api.post(ANALYZE, body).json()) is kept


@pytest.mark.parametrize(
    ("change", "message", "error_type"),
    [
        ({"comment": {}}, "Comment must be non-empty.", "COMMENT_EMPTY"),
        ({"comment": {"text": " \n\u3000"}}, "Comment must be non-empty.", "COMMENT_EMPTY"),
        ({"comment": {"text": "x" * 20_481}}, "Comment text too long.", "COMMENT_TOO_LONG"),
        ({"comment": {"text": "好" * 6_827}}, "Comment text too long.", "COMMENT_TOO_LONG"),
        ({"comment": {"text": "x", "type": "HTML"}}, "Currently, only 'PLAIN_TEXT' comments are supported", "INVALID_REQUEST"),
        ({"comment": {"text": "x", "type": 7}}, "Unknown text type", "INVALID_REQUEST"),
        ({"requestedAttributes": {}}, "Missing requested_attributes", "NO_REQUESTED_ATTRIBUTES"),
        ({"requestedAttributes": {"TOXICITY": {}, "NICE": {}}}, "Unknown requested attribute: NICE", "INVALID_REQUEST"),
        (
            {"requestedAttributes": {"TOXICITY": {"scoreType": "PERCENTILE"}}},
            "Requested score type PERCENTILE is not supported by attribute TOXICITY",
            "INVALID_REQUEST",
        ),
        (
            {"context": {"entries": [{"text": "a"}], "articleAndParentComment": {"article": {"text": "b"}}}},
            "Context can have either entries or article_and_parent_comment, but both fields were populated.",
            "INVALID_REQUEST",
        ),
        ({"context": {"entries": [{"text": "x" * ((1 << 20) + 1)}]}}, "Context entry too long.", "INVALID_REQUEST"),
        ({"languages": ["en"] * 33}, "Too many languages.", "INVALID_REQUEST"),
    ],
)
def test_what_is_wrong_is_said_in_the_originals_words(api: Api, change: dict[str, Any], message: str, error_type: str) -> None:
    response = api.post(ANALYZE, {**request("x"), **change})

    assert response.status_code == 400
    assert response.json()["error"] == {
        "code": 400,
        "message": message,
        "status": "INVALID_ARGUMENT",
        "details": [{"@type": "type.googleapis.com/google.commentanalyzer.v1alpha1.Error", "errorType": error_type}],
    }
    assert api.desk.asked == []


def test_the_longest_comment_is_taken(api: Api) -> None:
    assert api.analyze("x" * 20_480)
    assert api.analyze("好" * 6_826)


@pytest.mark.parametrize(
    ("text", "attribute", "languages", "shown", "detail"),
    [
        ("Das ist doch völliger Blödsinn, was du hier schreibst", "TOXICITY", None, "de", {"detectedLanguages": ["de"]}),
        ("hello", "TOXICITY", ["en", "fr"], "en, fr", {"detectedLanguages": ["en"], "requestedLanguages": ["en", "fr"]}),
        ("hello", "TOXICITY", ["hi-Latn"], "hi-Latn", {"detectedLanguages": ["en"], "requestedLanguages": ["hi-Latn"]}),
        ("hello", "FLIRTATION", ["en"], "en", {"detectedLanguages": ["en"], "requestedLanguages": ["en"]}),
        ("你好", "SPAM", None, "zh", {"detectedLanguages": ["zh"]}),
    ],
)
def test_an_unsupported_language_is_the_attributes_error(
    api: Api, text: str, attribute: str, languages: list[str] | None, shown: str, detail: dict[str, object]
) -> None:
    error = api.post(ANALYZE, request(text, attribute, languages=languages)).json()["error"]

    assert error["message"] == f"Attribute {attribute} does not support request languages: {shown}"
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.commentanalyzer.v1alpha1.Error",
            "errorType": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
            "languageNotSupportedByAttributeError": {**detail, "attribute": attribute},
        }
    ]


def test_unsupported_attributes_are_dropped_where_that_is_asked(api: Api) -> None:
    some = api.post(ANALYZE, request("you idiot", "FLIRTATION", "TOXICITY", dropUnsupportedAttributes=True)).json()
    none = api.post(ANALYZE, request("you idiot", "FLIRTATION", spanAnnotations=True, dropUnsupportedAttributes=True)).json()

    assert list(some["attributeScores"]) == ["TOXICITY"]
    assert none == {"languages": ["en"], "detectedLanguages": ["en"]}
    assert len(api.desk.asked) == 1


def test_without_letters_and_without_english_no_language_can_be_told(tmp_path: Path) -> None:
    api = perspective_api(tmp_path, [manifest(tmp_path / "models", languages=("zh",))])
    error = api.post(ANALYZE, request("😀")).json()["error"]
    assert (error["message"], error["details"][0]["errorType"]) == ("Unable to detect language", "LANGUAGE_DETECTION_FAILED")


@pytest.mark.parametrize(
    ("languages", "text", "job_language"),
    [(None, "hello", "en"), (["zh-TW"], "hello", "zh"), (["en", "zh"], "你好", "zh"), (["en_US"], "😀", "en")],
)
def test_jobs_carry_the_language_and_replies_the_callers_word_for_it(
    api: Api, languages: list[str] | None, text: str, job_language: str
) -> None:
    answer = api.analyze(text, languages=languages)
    assert api.desk.asked[0].language == job_language
    assert answer["languages"] == (languages or ["en"])


def test_a_job_that_is_not_to_be_stored_says_so(api: Api) -> None:
    api.analyze("One. Two.", doNotStore=True, spanAnnotations=True)
    assert [job.metadata.get("do_not_store") for job in api.desk.asked] == [True, True, True]


def test_nothing_personal_goes_into_the_metadata(api: Api) -> None:
    api.analyze("hello", sessionId="alice", communityId="forum", clientToken="comment:1")
    assert api.desk.asked[0].metadata == {}


@pytest.mark.parametrize("path", [ANALYZE, SUGGEST])
@pytest.mark.parametrize(
    ("headers", "query", "status"),
    [
        ({}, {"key": "good"}, 400),
        ({"x-goog-api-key": "good"}, {}, 400),
        ({"authorization": "Bearer good"}, {}, 400),
        ({"authorization": "Bearer other"}, {"key": "good"}, 400),
        ({}, {}, 403),
        ({}, {"key": ""}, 403),
        ({}, {"key": "bad"}, 400),
    ],
)
def test_keys_come_by_query_header_or_bearer_and_are_asked_first(
    api: Api, path: str, headers: dict[str, str], query: dict[str, str], status: int
) -> None:
    api.gate.keys = {"good": "tenant"}
    with api.client() as client:
        response = client.post(path, content=b"nonsense", params=query, headers=headers)
    error = response.json()["error"]
    assert response.status_code == status
    good = query.get("key") == "good" or "good" in str(headers)
    assert ("Invalid JSON payload" in error["message"]) is good


def test_jobs_are_the_keys_tenants(api: Api) -> None:
    api.gate.keys = {"k": "tenant"}
    api.post(ANALYZE, request("hello"), key="k")
    assert api.desk.asked[0].tenant == "tenant"


def test_a_call_costs_a_text_whatever_it_asks_and_nothing_when_refused(api: Api) -> None:
    api.gate.texts_left = 1
    assert api.post(ANALYZE, request("hello", *PRODUCTION)).status_code == 200
    assert api.post(ANALYZE, request("")).status_code == 400
    assert api.gate.spent == [0, 1, 0]

    limited = api.post(ANALYZE, request("One. Two.", spanAnnotations=True))
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "13")
    assert limited.json()["error"]["details"][0]["reason"] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("failure", "status"), [(Overloaded(2), 429), (Unavailable("away"), 503), (Late(["j"]), 504), (RuntimeError("secret"), 500)]
)
def test_what_the_desk_cannot_do_is_said_in_googles_envelope(api: Api, failure: Exception, status: int) -> None:
    api.desk.failure = failure
    response = api.post(ANALYZE, request("hello"))
    assert (response.status_code, response.json()["error"]["code"]) == (status, status)
    assert "secret" not in response.text


def test_text_that_turns_out_empty_is_an_empty_comment(api: Api) -> None:
    error = api.post(ANALYZE, request("BURY")).json()["error"]
    assert error["details"][0]["errorType"] == "COMMENT_EMPTY"


def test_openapi_documents_every_status_and_both_methods(api: Api) -> None:
    paths = api.app.openapi()["paths"]
    assert set(paths) == {ANALYZE, SUGGEST}
    for path in paths.values():
        assert set(path["post"]["responses"]) == {"200", "400", "403", "413", "422", "429", "500", "503", "504"}
        assert path["post"]["requestBody"]["content"]["application/json"]["example"]
