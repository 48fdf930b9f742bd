"""The messages of the Comment Analyzer as one table: reading requests, the discovery document and OpenAPI are made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

PACKAGE: Final = "google.commentanalyzer.v1alpha1"

Shape = Literal["one", "list", "map"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `kind` is string, bool, float, int32, the name of an enum or of a message; a map's keys are strings."""

    name: str
    kind: str
    description: str
    shape: Shape = "one"


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its fields in order."""

    description: str
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Enum:
    """One enum: `values` in the order of their numbers, which begin with 0."""

    full_name: str
    values: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The values' names."""
        return tuple(name for name, _ in self.values)


@dataclass(frozen=True, slots=True)
class Method:
    """One method of `comments`."""

    name: str
    request: str
    response: str
    description: str

    @property
    def path(self) -> str:
        """Where it is called, without the leading slash."""
        return f"v1alpha1/comments:{self.name}"


SCALARS: Final[Mapping[str, Mapping[str, str]]] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "float": {"type": "number", "format": "float"},
    "int32": {"type": "integer", "format": "int32"},
}
"""The kinds that are neither an enum nor a message, as JSON Schema and discovery documents write them."""

ENUMS: Final[Mapping[str, Enum]] = {
    "TextType": Enum(
        f"{PACKAGE}.TextEntry.TextType",
        (
            ("TEXT_TYPE_UNSPECIFIED", "Taken as plain text."),
            ("PLAIN_TEXT", "Plain text."),
            ("HTML", "HTML; not supported."),
        ),
    ),
    "ScoreType": Enum(
        f"{PACKAGE}.Score.ScoreType",
        (
            ("SCORE_TYPE_UNSPECIFIED", "Taken as a probability."),
            ("PROBABILITY", "Probability that the text has the attribute."),
            ("STD_DEV_SCORE", "Not supported."),
            ("PERCENTILE", "Not supported."),
            ("RAW", "Not supported."),
        ),
    ),
}

MESSAGES: Final[Mapping[str, Message]] = {
    "AnalyzeCommentRequest": Message(
        "A comment to score, and for what.",
        (
            Field("comment", "TextEntry", "The comment; its text is required."),
            Field("requestedAttributes", "AttributeParameters", "What to score, by name; at least one.", "map"),
            Field("languages", "string", "Languages of the comment; detected where there are none.", "list"),
            Field("context", "Context", "What the comment answers; accepted and not used."),
            Field("spanAnnotations", "bool", "Score each sentence too."),
            Field("dropUnsupportedAttributes", "bool", "Leave out attributes that do not support the language."),
            Field("doNotStore", "bool", "Mark the job, so that nothing keeps it beyond Kafka's retention."),
            Field("clientToken", "string", "Comes back in the response."),
            Field("sessionId", "string", "Accepted and not used."),
            Field("communityId", "string", "Accepted and not used."),
        ),
    ),
    "AnalyzeCommentResponse": Message(
        "The scores of a comment.",
        (
            Field("attributeScores", "AttributeScores", "Scores by attribute; absent where thresholds hide all.", "map"),
            Field("languages", "string", "Languages the comment was scored in.", "list"),
            Field("detectedLanguages", "string", "Languages found in the comment, the likeliest first.", "list"),
            Field("clientToken", "string", "The request's."),
        ),
    ),
    "SuggestCommentScoreRequest": Message(
        "Scores that a comment should have had.",
        (
            Field("comment", "TextEntry", "The comment; its text is required."),
            Field("attributeScores", "AttributeScores", "The right scores, by attribute; at least one.", "map"),
            Field("languages", "string", "Languages of the comment.", "list"),
            Field("context", "Context", "What the comment answers."),
            Field("communityId", "string", "Where the comment was made."),
            Field("clientToken", "string", "Comes back in the response."),
            Field("sessionId", "string", "Accepted and not kept."),
        ),
    ),
    "SuggestCommentScoreResponse": Message(
        "That the suggestion is stored.",
        (
            Field("clientToken", "string", "The request's."),
            Field("detectedLanguages", "string", "Languages found in the comment, the likeliest first.", "list"),
            Field("requestedLanguages", "string", "The request's languages.", "list"),
        ),
    ),
    "TextEntry": Message(
        "A text.",
        (
            Field("text", "string", "The text in UTF-8; a comment has at most 20,480 bytes."),
            Field("type", "TextType", "Kind of the text; plain by default."),
        ),
    ),
    "Context": Message(
        "What a comment answers: one of both.",
        (
            Field("entries", "TextEntry", "Texts before the comment.", "list"),
            Field("articleAndParentComment", "ArticleAndParentComment", "An article and the comment that is answered."),
        ),
    ),
    "ArticleAndParentComment": Message(
        "An article and the comment that is answered.",
        (
            Field("article", "TextEntry", "The article."),
            Field("parentComment", "TextEntry", "The comment that is answered."),
        ),
    ),
    "AttributeParameters": Message(
        "How an attribute is to be scored.",
        (
            Field("scoreType", "ScoreType", "Kind of score; a probability by default."),
            Field("scoreThreshold", "float", "An attribute whose summary score is lower is left out."),
        ),
    ),
    "AttributeScores": Message(
        "The scores of an attribute.",
        (
            Field("summaryScore", "Score", "Score of the whole text."),
            Field("spanScores", "SpanScore", "Scores of its sentences, or one span over the whole text.", "list"),
        ),
    ),
    "SpanScore": Message(
        "The score of a part of the text.",
        (
            Field("begin", "int32", "Where the span begins, in UTF-16 code units."),
            Field("end", "int32", "Where it ends, in UTF-16 code units; not part of it."),
            Field("score", "Score", "The span's score."),
        ),
    ),
    "Score": Message(
        "A score.",
        (
            Field("value", "float", "Between 0 and 1."),
            Field("type", "ScoreType", "Kind of score."),
        ),
    ),
}

METHODS: Final = (
    Method(
        "analyze",
        "AnalyzeCommentRequest",
        "AnalyzeCommentResponse",
        "Scores a comment for the requested attributes.",
    ),
    Method(
        "suggestscore",
        "SuggestCommentScoreRequest",
        "SuggestCommentScoreResponse",
        "Stores the scores that a comment should have had, as labelled data.",
    ),
)


def fields_of(message: str) -> Mapping[str, Field]:
    """The fields of a message by name."""
    return _FIELDS[message]


def field_named(message: str, name: str) -> Field | None:
    """The field that `name` means, in lowerCamelCase or as the proto has it, in snake_case."""
    return _FIELDS[message].get(name) or _FIELDS_BY_PROTO_NAME[message].get(name)


def json_type(field: Field, named: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    """The type of a field in JSON; `named` tells how an enum or a message is written."""
    one = dict(SCALARS[field.kind]) if field.kind in SCALARS else named(field.kind)
    if field.shape == "list":
        return {"type": "array", "items": one}
    return {"type": "object", "additionalProperties": one} if field.shape == "map" else one


def proto_name(name: str) -> str:
    """`requested_attributes` of `requestedAttributes`: how errors name a field."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


_FIELDS: Final = {name: {field.name: field for field in message.fields} for name, message in MESSAGES.items()}
_FIELDS_BY_PROTO_NAME: Final = {
    name: {proto_name(field.name): field for field in message.fields} for name, message in MESSAGES.items()
}
