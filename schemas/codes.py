"""The closed vocabularies of the contracts: tasks, verdicts, signals and dead-letter codes. Values never change meaning."""

from enum import StrEnum


class Task(StrEnum):
    """What a job asks for."""

    MODERATION = "moderation"


class Verdict(StrEnum):
    """What the policy decided, from harmless to harmful."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


class Signal(StrEnum):
    """What the normaliser had to fold before the text could be scored."""

    COMPATIBILITY = "compatibility"
    """Full-width, styled or otherwise compatible characters (Unicode NFKC)."""
    CONTROL = "control"
    """Control or bidirectional-override characters were removed."""
    ZERO_WIDTH = "zero_width"
    """Zero-width or otherwise invisible characters were removed."""
    COMBINING = "combining"
    """Stacks of combining marks were thinned."""
    HOMOGLYPH = "homoglyph"
    """Look-alike letters of other scripts stood inside Latin words."""
    LEETSPEAK = "leetspeak"
    """Digits or symbols stood for letters."""
    SPACED_LETTERS = "spaced_letters"
    """Words were spelled out with separators between their letters."""
    REPETITION = "repetition"
    """Letters were repeated far beyond spelling."""


class Code(StrEnum):
    """Why a message ended in the dead letters."""

    MALFORMED_JSON = "malformed_json"
    INVALID_UTF8 = "invalid_utf8"
    LONE_SURROGATE = "lone_surrogate"
    EMPTY_RECORD = "empty_record"
    RECORD_TOO_LARGE = "record_too_large"
    BULK_TOO_LONG = "bulk_too_long"
    UNSUPPORTED_VERSION = "unsupported_version"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    INVALID_FIELD = "invalid_field"
    INVALID_ID = "invalid_id"
    EMPTY_TEXT = "empty_text"
    TEXT_TOO_LONG = "text_too_long"
    TOO_MANY_TOKENS = "too_many_tokens"
    METADATA_TOO_LARGE = "metadata_too_large"
    DEADLINE_PASSED = "deadline_passed"
    UNKNOWN_TASK = "unknown_task"
    UNKNOWN_TENANT = "unknown_tenant"
    NO_ROUTE = "no_route"
    REPLY_TO_NOT_ALLOWED = "reply_to_not_allowed"
    PREPROCESS_FAILED = "preprocess_failed"
    WORK_CORRUPT = "work_corrupt"
    TOKENIZER_MISMATCH = "tokenizer_mismatch"
    INFERENCE_FAILED = "inference_failed"
    WORKER_CRASHED = "worker_crashed"


CODE_MEANINGS: dict[Code, str] = {
    Code.MALFORMED_JSON: "the record is not JSON, or is nested too deeply to be read",
    Code.INVALID_UTF8: "the bytes are not UTF-8",
    Code.LONE_SURROGATE: "a string holds half of a surrogate pair, which is no character",
    Code.EMPTY_RECORD: "the record has no value (a tombstone) or an empty one",
    Code.RECORD_TOO_LARGE: "the record is larger than the configured limit",
    Code.BULK_TOO_LONG: "the array holds more jobs than one record may carry",
    Code.UNSUPPORTED_VERSION: "the message claims a schema version this release does not know",
    Code.MISSING_FIELD: "a required field is not there",
    Code.UNKNOWN_FIELD: "a field that the schema does not have",
    Code.INVALID_FIELD: "a field of the wrong type or out of its range",
    Code.INVALID_ID: "job_id is empty, longer than 256 characters, or holds control characters",
    Code.EMPTY_TEXT: "nothing is left to score once white space and invisible characters are gone",
    Code.TEXT_TOO_LONG: "text is larger than 1 MiB of UTF-8",
    Code.TOO_MANY_TOKENS: "text has more tokens than the configured ceiling; it is refused, never cut",
    Code.METADATA_TOO_LARGE: "metadata is larger than 16 KiB of JSON",
    Code.DEADLINE_PASSED: "the deadline had passed when the job was published",
    Code.UNKNOWN_TASK: "no such task",
    Code.UNKNOWN_TENANT: "the tenant has no policy here",
    Code.NO_ROUTE: "no model serves this task and language",
    Code.REPLY_TO_NOT_ALLOWED: "reply_to is not a reply topic",
    Code.PREPROCESS_FAILED: "normalising or tokenising failed on this text alone",
    Code.WORK_CORRUPT: "a work batch is truncated, damaged or of an unknown version",
    Code.TOKENIZER_MISMATCH: "a work batch was made with another tokenizer than the model's",
    Code.INFERENCE_FAILED: "the model failed on this text alone",
    Code.WORKER_CRASHED: "the worker's process died on this text each time it was tried",
}
"""One sentence for each code, as documentation and tools print it."""
