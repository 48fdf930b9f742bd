"""Request bodies: JSON, what people write in its place, and what is neither, told as Google tells it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.binding import bind
from pipeline.gateway.perspective.errors import CommentError
from pipeline.gateway.perspective.lenient import read_json

COMMENT = {"comment": {"text": "hi"}, "requestedAttributes": {"TOXICITY": {}}}
LONG = choices.LENIENT_BYTES_MAX * b" "


def value_or_error(read: Callable[[], Any]) -> Any:
    """What `read` gives, or the CommentError that it raises; it may raise no other."""
    try:
        return read()
    except CommentError as error:
        return error


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{comment: {text: "hi"}, requestedAttributes: {TOXICITY: {}} }', COMMENT),  # Google's own curl sample
        (b"{'comment': {'text': 'hi'}, 'requestedAttributes': {'TOXICITY': {}}}", COMMENT),
        (b'{"comment": {"text": "hi",}, "requestedAttributes": {"TOXICITY": {},},}', COMMENT),
        (b'\xef\xbb\xbf{"comment": {"text": "hi"}, "requestedAttributes": {"TOXICITY": {}}}', COMMENT),
        (b"\t{$a_1: [1, -2.5e1, true, null, 'it\\'s'], nullable: 0}\n", {"$a_1": [1, -25.0, True, None, "it's"], "nullable": 0}),
        (b"{a: '\\u00e9\\ud83d\\ude00\\n\\v\\q', b: \"it's\"}", {"a": "é😀\n\vq", "b": "it's"}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b"[1, 2,]", [1, 2]),
        (b"[123456789012345678901234]", [123456789012345678901234]),
        (b"[123456789012345678901234,]", [1.2345678901234568e23]),
        (b"", {}),
        (b" \n", {}),
    ],
)
def test_what_people_write_is_read_as_meant(body: bytes, value: object) -> None:
    assert read_json(body) == value


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"not json", "Unexpected token.\nnot json\n^"),
        (b'{"a": NaN}', 'Unexpected token.\n{"a": NaN}\n      ^'),
        (b'{"a": 1', 'Unexpected end of string. Expected , or } after key:value pair.\n{"a": 1\n       ^'),
        (b'{"a": ', 'Unexpected end of string. Expected a value.\n{"a": \n      ^'),
        (b'{"a" 1}', 'Expected : between key:value pair.\n{"a" 1}\n     ^'),
        (b"{a: 1 b: 2}", "Expected , or } after key:value pair.\n{a: 1 b: 2}\n      ^"),
        (b"{1: 2}", "Expected an object key or }.\n{1: 2}\n ^"),
        (b"{true: 2}", "Expected an object key or }.\n{true: 2}\n ^"),
        (b"[1 2]", "Expected , or ] after array value.\n[1 2]\n   ^"),
        (b"[#]", "Expected a value or ] within an array.\n[#]\n ^"),
        (b"{} {}", "Parsing terminated before end of input.\n{} {}\n   ^"),
        (b'{"a": "x', 'Closing quote expected in string.\n{"a": "x\n        ^'),
        (b"['\\", "Closing quote expected in string.\n['\\\n   ^"),
        (b"['\\ud83d']", "Missing low surrogate.\n['\\ud83d']\n  ^"),
        (b'["\\ud83d\\u0041"]', 'Invalid low surrogate.\n["\\ud83d\\u0041"]\n  ^'),
        (b'["\\ude00"]', 'Invalid unicode code point.\n["\\ude00"]\n  ^'),
        (b"['\\u00g0']", "Invalid escape sequence.\n['\\u00g0']\n  ^"),
        (b"['\\u0", "Illegal hex string.\n['\\u0\n  ^"),
        (b"[012]", "Octal/hex numbers are not valid JSON values.\n[012]\n ^"),
        (b"[1e999,]", "Number exceeds the range of double.\n[1e999,]\n ^"),
        (b"[1.2.3]", "Unable to parse number.\n[1.2.3]\n ^"),
        (b"{a: '\xff'}", "Encountered non UTF-8 code points.\n{a: '\ufffd'}\n     ^"),
        (b"0123456789" * 3 + b"x", "Octal/hex numbers are not valid JSON values.\n01234567890123456789\n^"),
    ],
)
def test_what_is_no_json_is_refused_with_the_spot(body: bytes, fault: str) -> None:
    with pytest.raises(CommentError) as raised:
        read_json(body)

    message = f"Invalid JSON payload received. {fault}"
    assert (raised.value.code, raised.value.message) == (400, message)
    assert raised.value.details[0]["fieldViolations"] == [{"description": message}]


def test_a_long_body_is_read_strictly_or_not_at_all() -> None:
    assert read_json(b'{"a": 1}' + LONG) == {"a": 1}
    with pytest.raises(CommentError, match="Unexpected token"):
        read_json(b"{a: 1}" + LONG)


@pytest.mark.parametrize("bracket", [b"[", b"{a:", b'{"a":'])
@pytest.mark.parametrize("depth", [choices.NESTING_MAX + 1, 20_000])
def test_nesting_has_an_end(bracket: bytes, depth: int) -> None:
    with pytest.raises(CommentError, match=r"Message too deep\. Max recursion depth reached|Unexpected token"):
        read_json(bracket * depth + b"'")


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text("{}[]:,'\"\\ua0 x1.eE-+tfn\n😀", max_size=40).map(str.encode))
def test_a_body_is_a_value_or_googles_error(body: bytes) -> None:
    found = value_or_error(lambda: read_json(body))
    if isinstance(found, CommentError):
        assert found.message.startswith("Invalid JSON payload received. ")
        assert found.message.encode()
    else:
        assert json.dumps(found, ensure_ascii=False).encode()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab$_1", min_size=1), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(JSON)
def test_lenient_reading_agrees_with_json(value: object) -> None:
    strict = json.dumps(value)
    assert read_json(strict.encode()) == value
    assert read_json(f"[{strict},]".encode()) == [value]


@pytest.mark.parametrize(
    ("body", "bound"),
    [
        (
            {"requested_attributes": {"TOXICITY": {"score_threshold": "0.5"}}},
            {"requestedAttributes": {"TOXICITY": {"scoreThreshold": 0.5}}},
        ),
        ({"comment": {"text": "a", "type": 1}}, {"comment": {"text": "a", "type": "PLAIN_TEXT"}}),
        ({"comment": {"type": "2"}}, {"comment": {"type": "HTML"}}),
        ({"comment": {"type": 99}}, {"comment": {"type": 99}}),  # an enum may have values of tomorrow
        ({"spanAnnotations": "true", "doNotStore": "false"}, {"spanAnnotations": True, "doNotStore": False}),
        ({"languages": "en"}, {"languages": ["en"]}),
        ({"languages": ["en", None]}, {"languages": ["en"]}),
        ({"languages": None, "comment": None, "context": None, "clientToken": None}, {}),  # a PHP client's unset fields
        ({"requestedAttributes": {"TOXICITY": [], "INSULT": None}}, {"requestedAttributes": {"TOXICITY": {}, "INSULT": {}}}),
        (
            {"requestedAttributes": [], "comment": [], "languages": []},
            {"requestedAttributes": {}, "comment": {}, "languages": []},
        ),
        ({"context": {"entries": {"text": "a"}}}, {"context": {"entries": [{"text": "a"}]}}),
        ([], {}),
        (None, {}),
    ],
)
def test_a_request_is_read_as_protobuf_reads_json(body: object, bound: object) -> None:
    assert bind(body, "AnalyzeCommentRequest") == bound


TEXT_ENTRY = "type.googleapis.com/google.commentanalyzer.v1alpha1.TextEntry"
NO_LIST = "Proto field is not repeating, cannot start list."


@pytest.mark.parametrize(
    ("body", "field", "description"),
    [
        ({"x": 1}, None, 'Invalid JSON payload received. Unknown name "x": Cannot find field.'),
        ({"comment": {"x": 1}}, "comment", "Invalid JSON payload received. Unknown name \"x\" at 'comment': Cannot find field."),
        ({"comment": {"text": 1}}, "comment.text", "Invalid value at 'comment.text' (TYPE_STRING), 1"),
        ({"comment": {"text": True}}, "comment.text", "Invalid value at 'comment.text' (TYPE_STRING), true"),
        (
            {"comment": {"text": ["a"]}},
            "comment",
            f"Invalid JSON payload received. Unknown name \"text\" at 'comment': {NO_LIST}",
        ),
        ({"comment": [{}]}, None, f'Invalid JSON payload received. Unknown name "comment": {NO_LIST}'),
        ({"comment": "a"}, "comment", f"Invalid value at 'comment' ({TEXT_ENTRY}), \"a\""),
        ({"comment": {"type": "X"}}, "comment.type", f"Invalid value at 'comment.type' ({TEXT_ENTRY}.TextType), \"X\""),
        ({"spanAnnotations": 1}, "span_annotations", "Invalid value at 'span_annotations' (TYPE_BOOL), 1"),
        (
            {"spanAnnotations": {}},
            "span_annotations",
            "Invalid value at 'span_annotations' (TYPE_BOOL), Starting an object on a scalar field",
        ),
        ({"languages": ["en", 2]}, "languages[1]", "Invalid value at 'languages[1]' (TYPE_STRING), 2"),
        (
            {"requestedAttributes": {"A": {}, "B": {"scoreThreshold": "much"}}},
            "requested_attributes[1].value.score_threshold",
            "Invalid value at 'requested_attributes[1].value.score_threshold' (TYPE_FLOAT), \"much\"",
        ),
        (
            {"requestedAttributes": ["TOXICITY"]},
            "requested_attributes",
            "Invalid value at 'requested_attributes' (Map), Cannot bind a list to map for field 'requestedAttributes'.",
        ),
        ("text", None, 'Invalid JSON payload received. Unknown name "": Root element must be a message.'),
    ],
)
def test_what_does_not_fit_is_named(body: object, field: str | None, description: str) -> None:
    with pytest.raises(CommentError) as raised:
        bind(body, "AnalyzeCommentRequest")

    violation = {"field": field, "description": description} if field else {"description": description}
    assert (raised.value.code, raised.value.message) == (400, description)
    assert raised.value.details == ({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]},)


@pytest.mark.parametrize("value", [1e39, -1e39, "1e39", "NaN", "Infinity", "0x1", "1_0", " 1", "", True, {}, 10**400])
def test_a_float_is_a_number_that_32_bits_hold(value: object) -> None:
    with pytest.raises(CommentError, match="TYPE_FLOAT"):
        bind({"requestedAttributes": {"A": {"scoreThreshold": value}}}, "AnalyzeCommentRequest")


@pytest.mark.parametrize(("value", "read"), [(3, 3), ("3", 3), (3.0, 3), ("-3", -3)])
def test_a_place_is_a_whole_number_however_written(value: object, read: int) -> None:
    scores = {"attributeScores": {"A": {"spanScores": [{"begin": value}]}}}
    assert bind(scores, "SuggestCommentScoreRequest") == {"attributeScores": {"A": {"spanScores": [{"begin": read}]}}}


@pytest.mark.parametrize("value", [3.5, "3.0", 1 << 31, "99999999999", True, "x"])
def test_other_numbers_are_no_place(value: object) -> None:
    with pytest.raises(CommentError, match="TYPE_INT32"):
        bind({"attributeScores": {"A": {"spanScores": [{"begin": value}]}}}, "SuggestCommentScoreRequest")


def test_all_faults_are_told_up_to_a_bound() -> None:
    with pytest.raises(CommentError) as raised:
        bind({f"x{number}" * 99: 1 for number in range(100)}, "AnalyzeCommentRequest")

    told = raised.value.details[0]["fieldViolations"]
    assert len(told) == choices.VIOLATIONS_MAX
    assert raised.value.message == "\n".join(violation["description"] for violation in told)
    assert len(raised.value.message) < 200 * choices.VIOLATIONS_MAX


FIELDS = ("comment", "requestedAttributes", "languages", "context", "spanAnnotations")


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, JSON)))
def test_binding_gives_a_request_or_googles_error(body: object) -> None:
    found = value_or_error(lambda: bind(read_json(json.dumps(body).encode()), "AnalyzeCommentRequest"))
    if isinstance(found, CommentError):
        assert found.code == 400
    else:
        assert isinstance(found.get("comment", {}).get("text", ""), str)
