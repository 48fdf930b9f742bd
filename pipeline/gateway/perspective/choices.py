"""What no source tells of the Comment Analyzer, and where we mean to do better: one choice each, easy to change.

Texts that are known letter by letter stand where they are used. Those below follow Google's other services or are ours.
"""

from typing import Final

REVISION: Final = "20261101"
"""`revision` of the discovery document: a date, and clients only show it."""

EMPTY_BODY: Final = "{}"
"""What an empty body stands for."""
LENIENT_BYTES_MAX: Final = 64 << 10
"""Bodies up to this size are read leniently when they are no strict JSON: the longest comment fits three times, and reading
slowly holds up nobody."""
NESTING_MAX: Final = 100
"""Objects and arrays within each other, as in Google's own reader."""
VIOLATIONS_MAX: Final = 20
"""Faults of one body that are told."""
ECHO_CHARACTERS_MAX: Final = 100
"""How much of a wrong name or value is repeated in an error."""
MASK_NESTING_MAX: Final = 20
"""Steps of a path in `fields`; the schema has six."""

TEXT_BYTES_MAX: Final = 20_480
"""UTF-8 bytes of a comment. The documents say 20 KB; clients cut here."""
CONTEXT_BYTES_MAX: Final = 1 << 20
"""UTF-8 bytes of one context entry."""
SENTENCES_MAX: Final = 50
"""Spans of one text. More sentences than these share spans with their neighbours: each span is a job of its own."""
LANGUAGES_MAX: Final = 32
"""Languages that a request may name."""

ASSUMED_LANGUAGE: Final = "en"
"""Of a text without letters, and of a short one that is guessed to be in a language that no model speaks: the original refuses
both, and most of what it refuses so is short English."""
ASSUMED_BELOW_LETTERS: Final = 40
"""What counts as short. Only Latin letters: another script is no English."""
SECOND_SCRIPT_SHARE: Final = 0.2
"""Share of a text's letters from which another script makes another detected language."""

BATCH_CALLS_MAX: Final = 1_000
"""Calls in one batch."""
BATCH_CONCURRENT_CALLS: Final = 50
"""Calls of one batch that are under way together: a batch leaves room for others, and its own size is no overload."""

SUGGESTIONS_MAX: Final = 100_000
"""Suggestions that are kept for a tenant; then the oldest go."""
SUGGESTIONS_BYTES_MAX: Final = 256 << 20
"""Bytes of the same, about."""

NO_KEY: Final = (
    "Method doesn't allow unregistered callers (callers without established identity). "
    "Please use API Key or other form of API consumer identity to call this API."
)
UNAVAILABLE_RETRY_S: Final = 5
"""Kafka finds a new leader in about so long."""
OVERLOADED: Final = "Resource has been exhausted (e.g. check quota)."
UNAVAILABLE: Final = "The service is currently unavailable."
LATE: Final = "Deadline expired before operation could complete."
INTERNAL: Final = "Internal error encountered."
NO_METHOD: Final = "Method not found."
INVALID_ARGUMENT: Final = "Request contains an invalid argument."
CONTEXT_TOO_LONG: Final = "Context entry too long."
TOO_MANY_LANGUAGES: Final = "Too many languages."
MISSING_SCORES: Final = "Missing attribute_scores"
MISSING_SCORE: Final = "Attribute {name} has neither a summary score nor span scores"
SPAN_WITHOUT_ENDS: Final = "Span scores of attribute {name} must have begin and end"
SPAN_OUTSIDE: Final = "Span scores of attribute {name} must lie within the comment"
NO_PROBABILITY: Final = "Scores of attribute {name} must be between 0 and 1"
NO_VALUE: Final = "A score of attribute {name} has no value"
EMPTY_BATCH: Final = "Failed to parse batch request, error: 0 items. Received batch body: ({size}) bytes redacted"
LONG_BATCH: Final = "The batch request holds more than {limit} calls."

CONSUMER: Final = "project_number:0"
"""Whose quota is used up: there are no projects here."""
QUOTA_HELP: Final = {
    "description": "Request a higher quota limit.",
    "url": "https://cloud.google.com/docs/quotas/help/request_increase",
}
"""As Google's own services say it. Here the limit is the operator's: LLMOS_HTTP_TEXTS_PER_MINUTE or the key's own."""


def is_empty(text: str) -> bool:
    """Whether a comment says nothing: white space counts as nothing."""
    return not text or text.isspace()


def is_kept(score: float, threshold: float) -> bool:
    """Whether an attribute with this score is returned: one that equals its threshold is."""
    return score >= threshold
