"""Jobs that cannot succeed: one row a kind, with the code of its dead letter."""

from typing import Any, Final

from schemas.codes import Code

PAST: Final = "2020-01-01T00:00:00Z"


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"in": value}
    return value


_FIELDS: Final[tuple[tuple[str, dict[str, Any], Code], ...]] = (
    ("text is missing", {"text": None}, Code.INVALID_FIELD),
    ("text is a number", {"text": 5}, Code.INVALID_FIELD),
    ("text is empty", {"text": ""}, Code.EMPTY_TEXT),
    ("text is invisible", {"text": " \u200b\u2060\t"}, Code.EMPTY_TEXT),
    ("text is larger than 1 MiB", {"text": "a b " * (1 << 18) + "!"}, Code.TEXT_TOO_LONG),
    ("text has too many tokens", {"text": "friend " * 70_000}, Code.TOO_MANY_TOKENS),
    ("text holds half of a pair", {"text": "half \ud83d of a pair"}, Code.LONE_SURROGATE),
    ("a field that is not ours", {"txt": "hello"}, Code.UNKNOWN_FIELD),
    ("a version to come", {"version": 2}, Code.UNSUPPORTED_VERSION),
    ("a task that is none", {"task": "poetry"}, Code.UNKNOWN_TASK),
    ("a tenant without a policy", {"tenant": "nobody"}, Code.UNKNOWN_TENANT),
    ("a language that is none", {"language": "english!"}, Code.INVALID_FIELD),
    ("a time that is a number", {"created_at": 1_764_000_000}, Code.INVALID_FIELD),
    ("a deadline in the past", {"deadline": PAST}, Code.DEADLINE_PASSED),
    ("a reply elsewhere", {"reply_to": "elsewhere"}, Code.REPLY_TO_NOT_ALLOWED),
    ("metadata that is a list", {"metadata": ["a"]}, Code.INVALID_FIELD),
    ("too much metadata", {"metadata": {"a": "b" * (17 << 10)}}, Code.METADATA_TOO_LARGE),
    ("metadata nested too deeply", {"metadata": _deep(40)}, Code.INVALID_FIELD),
    ("a number beyond all bounds", {"metadata": {"a": float("inf")}}, Code.INVALID_FIELD),
)
JOBS: Final = tuple((name, {"text": "hello friend", **fields}, code) for name, fields, code in _FIELDS)
"""(what is wrong, the job, its code); each lacks an id."""

RECORDS: Final[tuple[tuple[str, bytes | None, Code], ...]] = (
    ("no value", None, Code.EMPTY_RECORD),
    ("an empty value", b"", Code.EMPTY_RECORD),
    ("no JSON", b"hello friend", Code.MALFORMED_JSON),
    ("half of a job", b'{"text": "hello fr', Code.MALFORMED_JSON),
    ("two jobs in a row", b'{"text": "hello"}{"text": "friend"}', Code.MALFORMED_JSON),
    ("a mountain of brackets", b"[" * 200_000, Code.MALFORMED_JSON),
    ("JSON, but no job", b'"hello friend"', Code.INVALID_FIELD),
    ("an array of nothing", b"[]", Code.BULK_TOO_LONG),
    ("an array of too many", b"[" + b",".join([b'{"text":"hello"}'] * 501) + b"]", Code.BULK_TOO_LONG),
    ("no text", b'{"task": "moderation"}', Code.MISSING_FIELD),
    ("an empty id", b'{"job_id": "", "text": "hello"}', Code.INVALID_ID),
    ("an id that is a number", b'{"job_id": 7, "text": "hello"}', Code.INVALID_ID),
    ("an id with a line break", b'{"job_id": "a\\nb", "text": "hello"}', Code.INVALID_ID),
    ("an endless id", b'{"job_id": "' + b"a" * 300 + b'", "text": "hello"}', Code.INVALID_ID),
    ("bytes that are no UTF-8", b'{"text": "hello \xff friend"}', Code.INVALID_UTF8),
    ("UTF-16", '{"text": "hello"}'.encode("utf-16"), Code.INVALID_UTF8),
)
"""(what is wrong, the record, its code); none names a job that could be found again by its id."""
