"""What a client asks of /v1/moderations, as a request's body or as the body of a batch line: read, checked, and turned into jobs.

A string is one text, a list of strings is many, and a list of parts is one text again: its parts joined by line breaks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.gateway.contract import Outcome
from pipeline.gateway.dialect import ApiError, envelope
from pipeline.gateway.openai.categories import NOTHING, Scores
from schemas.dead_letters import DeadLetter
from schemas.jobs import TEXT_BYTES_MAX

DEFAULT_MODEL: Final = "omni-moderation-latest"
ALIASES: Final = (
    *(DEFAULT_MODEL, "omni-moderation-2024-09-26"),
    *("text-moderation-latest", "text-moderation-stable", "text-moderation-007"),
)
"""OpenAI's names for moderation models, those no longer in service included: here all mean the model that is served."""
INPUTS_MAX: Final = 1_000
"""Strings or parts of one request: half of what all requests together may have under way by default."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What requests may ask: models by these names, and so many strings or parts."""

    models: Collection[str]
    inputs_max: int = INPUTS_MAX


@dataclass(frozen=True, slots=True)
class ModerationRequest:
    """A checked request: `texts` has one text for each result, and `given` is the input as it came."""

    model: str
    texts: tuple[str, ...]
    given: object

    def scored(self) -> list[int]:
        """The indexes of texts that need a job; white space alone has nothing to score."""
        return [index for index, text in enumerate(self.texts) if text and not text.isspace()]


def parse_request(value: object, rules: Rules) -> ModerationRequest:
    """The request that a decoded JSON body describes; raises ApiError (400) that names the parameter."""
    if not isinstance(value, dict):
        raise ApiError(400, "The body is not a JSON object.")
    model = _model(value.get("model"), rules)
    if value.get("stream"):
        raise ApiError(400, "Moderations cannot be streamed.", param="stream", code="unsupported_parameter")
    given = value.get("input")
    texts = _texts(given, rules)
    for index, text in enumerate(texts):
        if len(text) > TEXT_BYTES_MAX or len(text.encode()) > TEXT_BYTES_MAX:
            place = place_of(given, index)
            message = f"Invalid '{place}': string too long. Expected at most {TEXT_BYTES_MAX} bytes of UTF-8."
            raise ApiError(400, message, param=place, code="string_above_max_length")
    return ModerationRequest(model, texts, given)


def place_of(given: object, index: int) -> str:
    """How an error names the text at `index` of an input: by its index where the client listed several."""
    return f"input[{index}]" if isinstance(given, list) and isinstance(given[0], str) else "input"


def refused(code: str, reason: str, place: str) -> ApiError:
    """How the API says that the text at `place` became a dead letter: 422 with the letter's code."""
    return ApiError(422, f"'{place}' could not be scored: {reason}", param=place, code=code)


def body_of(error: ApiError) -> dict[str, Any]:
    """The body that a client would get for `error`."""
    return envelope(str(error), kind=error.kind, param=error.param, code=error.code)


def scores_of(request: ModerationRequest, outcomes: Mapping[int, Outcome]) -> Sequence[Scores]:
    """One for each text; `outcomes` by index of `request.scored()`. Raises ApiError (422) for the first dead letter."""
    found = [NOTHING] * len(request.texts)
    for index, outcome in outcomes.items():
        result = outcome.result()
        if isinstance(result, DeadLetter):
            raise refused(str(result.code), result.reason, place_of(request.given, index))
        found[index] = Scores.of(result)
    return found


def _model(model: object, rules: Rules) -> str:
    if model is None:
        return DEFAULT_MODEL
    if not isinstance(model, str) or model not in rules.models:
        message = f"Invalid value for 'model' = {str(model)[:100]}. Please check the OpenAI documentation and try again."
        raise ApiError(400, message, param="model")
    return model


def _texts(given: object, rules: Rules) -> tuple[str, ...]:
    if given is None:
        raise ApiError(400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, list):
        raise _wrong_type("input", "a string or an array of strings or of parts", given)
    _check_length(given, rules.inputs_max)
    if isinstance(given[0], dict):
        return ("\n".join(_part(index, part) for index, part in enumerate(given)),)
    for index, item in enumerate(given):
        if not isinstance(item, str):
            raise _wrong_type(f"input[{index}]", "a string", item)
    return tuple(given)


def _check_length(given: Sequence[object], inputs_max: int) -> None:
    if not given:
        message = "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead."
        raise ApiError(400, message, param="input", code="empty_array")
    if len(given) > inputs_max:
        message = (
            f"Invalid 'input': array too long. Expected an array with maximum length {inputs_max}, "
            f"but got an array with length {len(given)} instead."
        )
        raise ApiError(400, message, param="input", code="array_above_max_length")


def _part(index: int, part: Any) -> str:  # noqa: ANN401 (whatever JSON holds)
    place = f"input[{index}]"
    if not isinstance(part, dict):
        raise _wrong_type(place, "an object", part)
    if part.get("type") == "image_url":
        message = f"Images are not supported: this server moderates text only, and {place} is an image."
        raise ApiError(400, message, param=place, code="image_not_supported")
    if part.get("type") != "text":
        message = f"Invalid value: '{str(part.get('type'))[:100]}'. Supported values are: 'text'."
        raise ApiError(400, message, param=f"{place}.type", code="invalid_value")
    text = part.get("text")
    if not isinstance(text, str):
        raise _wrong_type(f"{place}.text", "a string", text)
    return text


def _wrong_type(place: str, wanted: str, given: object) -> ApiError:
    message = f"Invalid type for '{place}': expected {wanted}, but got {_JSON_NAMES.get(type(given), 'null')} instead."
    return ApiError(400, message, param=place, code="invalid_type")


_JSON_NAMES: Final = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
