"""What the OpenAPI document says of the two methods, made from the same table of messages."""

from typing import Any, Final

from pipeline.gateway.perspective.messages import ENUMS, MESSAGES, Method, json_type

_EXAMPLES: Final = {
    "AnalyzeCommentRequest": {
        "comment": {"text": "You are a friend."},
        "languages": ["en"],
        "requestedAttributes": {"TOXICITY": {}, "INSULT": {"scoreThreshold": 0.5}},
    },
    "AnalyzeCommentResponse": {
        "attributeScores": {
            "TOXICITY": {
                "spanScores": [{"begin": 0, "end": 17, "score": {"value": 0.0184, "type": "PROBABILITY"}}],
                "summaryScore": {"value": 0.0184, "type": "PROBABILITY"},
            }
        },
        "languages": ["en"],
        "detectedLanguages": ["en"],
    },
    "SuggestCommentScoreRequest": {
        "comment": {"text": "You are a friend."},
        "attributeScores": {"TOXICITY": {"summaryScore": {"value": 0}}},
        "communityId": "forum",
    },
    "SuggestCommentScoreResponse": {"detectedLanguages": ["en"]},
}
_ERRORS: Final = {
    400: "The request, or its API key, is not valid.",
    403: "No API key.",
    413: "The body is larger than the gateway takes.",
    422: "The text could not be worked on; `details` holds its code.",
    429: "The key's limit is reached, or too much is under way; Retry-After says when to try again.",
    500: "Our fault.",
    503: "Kafka cannot be reached.",
    504: "No outcome in time; the job goes on.",
}
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "status": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
        }
    },
}
_QUERY: Final = {
    "fields": ("string", "Partial response, such as `languages,attributeScores(TOXICITY/summaryScore)`."),
    "prettyPrint": ("boolean", "Whether the response is indented; yes by default."),
}


def openapi_of(method: Method) -> dict[str, Any]:
    """Arguments of a FastAPI route that document a method."""
    return {
        "summary": method.description,
        "tags": ["Perspective"],
        "operation_id": f"perspective_{method.name}",
        "responses": {
            200: {"description": "Successful response", **_content(_schema(method.response), _EXAMPLES[method.response])},
            **{status: {"description": text, **_content(_ERROR)} for status, text in _ERRORS.items()},
        },
        "openapi_extra": {
            "parameters": [
                {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": type_}}
                for name, (type_, text) in _QUERY.items()
            ],
            "requestBody": {"required": True, **_content(_schema(method.request), _EXAMPLES[method.request])},
        },
    }


def _content(schema: dict[str, Any], example: object = None) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema, **({} if example is None else {"example": example})}}}


def _schema(message: str) -> dict[str, Any]:
    fields = MESSAGES[message].fields
    return {
        "type": "object",
        "description": MESSAGES[message].description,
        "properties": {field.name: {**json_type(field, _named), "description": field.description} for field in fields},
        "additionalProperties": False,
    }


def _named(kind: str) -> dict[str, Any]:
    return _schema(kind) if kind in MESSAGES else {"type": "string", "enum": list(ENUMS[kind].names)}
