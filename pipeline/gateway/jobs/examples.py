"""Examples for the OpenAPI page, and the schema of what a client may say of a job, which is made from the contract."""

from typing import Any, Final

from pipeline.gateway.jobs.requests import FIELDS
from schemas.codes import Task
from schemas.jobs import BULK_JOBS_MAX, TEXT_BYTES_MAX, TextJob

_ID: Final = "019ab2c3-4d5e-7f60-8a9b-0c1d2e3f4a5b"
_OTHER_ID: Final = "019ab2c3-4d5e-7f61-9bac-1d2e3f4a5b6c"
_TIME: Final = "2026-11-25T08:00:00.000Z"
_SHA: Final = "1d819289745b321036d1439b156401275328ac003745ad4c94b467caea161bc3"

RESULT: Final[dict[str, Any]] = {
    "version": 1,
    "job_id": _ID,
    "task": "moderation",
    "tenant": "default",
    "verdict": "block",
    "labels": [
        {"label": "toxicity", "raw_score": 0.982014, "score": 0.982014, "over_threshold": True},
        {"label": "insult", "raw_score": 0.982014, "score": 0.982014, "over_threshold": True},
        {"label": "threat", "raw_score": 0.017986, "score": 0.017986, "over_threshold": False},
    ],
    "signals": ["leetspeak"],
    "language": "en",
    "model": {"name": "moderation-en-zh", "release": "1.0.0", "precision": "int8", "sha256": _SHA},
    "policy": {"name": "default", "release": "1", "sha256": _SHA},
    "tokenizer_sha256": _SHA,
    "coverage": {"tokens_total": 5, "tokens_scored": 5, "windows": 1},
    "created_at": _TIME,
    "metadata": {"post": 7},
    "attempt": 1,
    "timings": {
        "wait_ms": 1.0,
        "preprocess_ms": 2.0,
        "queue_ms": 2.0,
        "infer_ms": 9.0,
        "total_ms": 14.0,
        "completed_at": "2026-11-25T08:00:00.014Z",
    },
}


def _job(job_id: str, status: str, **more: object) -> dict[str, Any]:
    return {
        "object": "job",
        "id": job_id,
        "status": status,
        "created_at": _TIME,
        "links": {"self": f"/v1/jobs/{job_id}"},
        **more,
    }


PENDING: Final = _job(_ID, "pending")
DONE: Final = _job(_ID, "done", result=RESULT)
DEAD: Final = _job(
    _OTHER_ID,
    "dead",
    error={
        "message": "text: only white space and invisible characters",
        "code": "empty_text",
        "stage": "preprocess",
        "attempts": 1,
        "failed_at": _TIME,
        "unscored_verdict": "review",
    },
)
PENDING_LIST: Final = {"object": "list", "data": [PENDING, _job(_OTHER_ID, "pending")]}
DONE_LIST: Final = {"object": "list", "data": [DONE, DEAD]}
EVENTS: Final = {"object": "list", "data": [{"id": 17, "job": DONE}], "last_id": 17, "has_more": False}
STREAM: Final = f'retry: 2000\n\nid: 17\nevent: job\ndata: {{"object":"job","id":"{_ID}","status":"done", …}}\n\n: still here\n\n'
MODEL: Final = {
    "id": "moderation-en-zh",
    "object": "model",
    "created": 1_795_564_800,
    "owned_by": "llmos",
    "release": "1.0.0",
    "task": "moderation",
    "languages": ["en", "zh"],
    "labels": [{"name": "toxicity", "description": "Rude, disrespectful or unreasonable.", "grade": "strong"}],
}
POLICIES: Final = {
    "object": "list",
    "data": [
        {
            "object": "policy",
            "name": "default",
            "release": "1",
            "sha256": _SHA,
            "labels": {"toxicity": {"review": 0.5, "block": 0.9}, "threat": {"review": 0.4, "block": 0.8}},
            "languages": {"zh": {"toxicity": {"review": 0.6, "block": 0.95}}},
        }
    ],
}
BODIES: Final = {
    "one": {"summary": "One text", "value": {"text": "you 1d10t", "language": "en", "metadata": {"post": 7}}},
    "many": {"summary": "Several", "value": {"jobs": [{"text": "hello, friend"}, {"text": "你好"}]}},
}


def body_schema() -> dict[str, Any]:
    """JSON Schema of the body of POST /v1/jobs."""
    known = TextJob.model_json_schema()["properties"]
    properties = {name: dict(known[name]) for name in FIELDS}
    properties["text"] |= {"pattern": r"\S", "maxLength": TEXT_BYTES_MAX}
    properties["task"]["enum"] = list(Task)
    properties["deadline"]["anyOf"] = [{"type": "string", "format": "date-time"}, {"type": "null"}]
    properties["metadata"]["additionalProperties"] = True
    one = {"type": "object", "properties": properties, "required": ["text"], "additionalProperties": False}
    many = {
        "type": "object",
        "properties": {"jobs": {"type": "array", "items": one, "minItems": 1, "maxItems": BULK_JOBS_MAX}},
        "required": ["jobs"],
        "additionalProperties": False,
    }
    return {"oneOf": [one, many]}
