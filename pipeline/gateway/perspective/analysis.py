"""One call of `analyze`, thought through: a request to the texts that must be scored, and their scores to a response. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.attributes import ATTRIBUTES, Catalogue
from pipeline.gateway.perspective.errors import CommentError, comment_empty, comment_error, comment_too_long, invalid_request
from pipeline.gateway.perspective.languages import base_language, detected_languages
from pipeline.gateway.perspective.rendering import float32
from pipeline.gateway.perspective.sentences import Span, sentences, utf16_length, utf16_spans

Scores = Mapping[str, float]
"""Calibrated scores by label."""
_PROBABILITY: Final = "PROBABILITY"
_PLAIN: Final = (None, "TEXT_TYPE_UNSPECIFIED", "PLAIN_TEXT")


@dataclass(frozen=True, slots=True)
class Spoken:
    """The languages of a comment: those the caller names, those found, the likeliest first."""

    requested: tuple[str, ...]
    detected: tuple[str, ...]

    @property
    def used(self) -> tuple[str, ...]:
        """What the comment is scored in, and what the response calls `languages`."""
        return self.requested or self.detected[:1]

    @property
    def job_language(self) -> str | None:
        """The language of the jobs: of several the one that is found, else the first."""
        bases = [base_language(language) for language in self.used]
        return next((language for language in self.detected if language in bases), next(iter(bases), None))


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a request comes down to. `thresholds` holds the attributes in the order of the request."""

    text: str
    spoken: Spoken
    thresholds: Mapping[str, float | None]
    spans: Sequence[Span]
    client_token: str | None
    do_not_store: bool

    def span_texts(self) -> list[str]:
        """The text of each span."""
        return [self.text[begin:end] for begin, end in self.spans]

    def texts(self) -> list[str]:
        """What must be scored, each text once: the whole first. Nothing where no attribute is left."""
        return list(dict.fromkeys([self.text, *self.span_texts()])) if self.thresholds else []


def analysis_of(request: Mapping[str, Any], catalogue: Catalogue, detect: Callable[[str], str]) -> Analysis:
    """What the bound AnalyzeCommentRequest asks for; raises CommentError for the first thing that is wrong."""
    text = comment_text(request)
    check_context(request)
    asked: Mapping[str, Mapping[str, Any]] = request.get("requestedAttributes") or {}
    if not asked:
        raise comment_error("Missing requested_attributes", "NO_REQUESTED_ATTRIBUTES")
    for name, parameters in asked.items():
        _check_attribute(name, parameters)
    spoken = spoken_of(request, text, catalogue, detect)
    supported = [name for name in asked if all(catalogue.supports(name, base_language(tag)) for tag in spoken.used)]
    if not request.get("dropUnsupportedAttributes") and len(supported) < len(asked):
        raise unsupported(next(name for name in asked if name not in supported), spoken)
    return Analysis(
        text=text,
        spoken=spoken,
        thresholds={name: asked[name].get("scoreThreshold") for name in supported},
        spans=sentences(text, choices.SENTENCES_MAX) if request.get("spanAnnotations") else [],
        client_token=request.get("clientToken"),
        do_not_store=bool(request.get("doNotStore")),
    )


def comment_text(request: Mapping[str, Any]) -> str:
    """The comment's text; raises CommentError where it is none that can be scored."""
    comment = request.get("comment") or {}
    text: str = comment.get("text", "")
    if choices.is_empty(text):
        raise comment_empty()
    if len(text.encode()) > choices.TEXT_BYTES_MAX:
        raise comment_too_long()
    if comment.get("type") == "HTML":
        raise invalid_request("Currently, only 'PLAIN_TEXT' comments are supported")
    if comment.get("type") not in _PLAIN:
        raise invalid_request("Unknown text type")
    return text


def check_context(request: Mapping[str, Any]) -> None:
    """Raises CommentError for a context that is two, or too much."""
    context = request.get("context") or {}
    article = context.get("articleAndParentComment")
    entries = context.get("entries") or []
    if entries and article:
        both = "Context can have either entries or article_and_parent_comment, but both fields were populated."
        raise invalid_request(both)
    for entry in (*entries, *(article or {}).values()):
        if len(entry.get("text", "").encode()) > choices.CONTEXT_BYTES_MAX:
            raise invalid_request(choices.CONTEXT_TOO_LONG)


def check_score_type(name: str, type_: str | int | None) -> None:
    """Raises CommentError for a kind of score that no attribute has."""
    if type_ not in (None, _PROBABILITY, "SCORE_TYPE_UNSPECIFIED"):
        raise invalid_request(f"Requested score type {type_} is not supported by attribute {name}")


def check_known(name: str) -> None:
    """Raises CommentError for an attribute that nobody knows."""
    if name not in ATTRIBUTES:
        raise invalid_request(f"Unknown requested attribute: {name[: choices.ECHO_CHARACTERS_MAX]}")


def spoken_of(request: Mapping[str, Any], text: str, catalogue: Catalogue, detect: Callable[[str], str]) -> Spoken:
    """The languages of the comment; raises CommentError where none is named and none can be found."""
    requested = tuple(request.get("languages") or ())
    if len(requested) > choices.LANGUAGES_MAX:
        raise invalid_request(choices.TOO_MANY_LANGUAGES)
    detected = detected_languages(text, detect, catalogue.speaks)
    if not requested and not detected:
        raise comment_error("Unable to detect language", "LANGUAGE_DETECTION_FAILED")
    return Spoken(requested, detected)


def unsupported(name: str, spoken: Spoken) -> CommentError:
    """The refusal of an attribute for the languages of the comment."""
    found = {"detectedLanguages": list(spoken.detected)} if spoken.detected else {}
    named = {"requestedLanguages": list(spoken.requested)} if spoken.requested else {}
    shown = ", ".join(spoken.used)[: choices.ECHO_CHARACTERS_MAX]
    return comment_error(
        f"Attribute {name} does not support request languages: {shown}",
        "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE",
        languageNotSupportedByAttributeError={**found, **named, "attribute": name},
    )


def response_to(analysis: Analysis, whole: Scores, parts: Sequence[Scores | None]) -> dict[str, Any]:
    """The AnalyzeCommentResponse, from the scores of the text and of each span; None is a span without anything to score."""
    spans = [(span, scores) for span, scores in zip(analysis.spans, parts, strict=True) if scores is not None]
    counted = utf16_spans(analysis.text, [span for span, _ in spans])
    placed = [(span, scores) for span, (_, scores) in zip(counted, spans, strict=True)]
    placed = placed or [((0, utf16_length(analysis.text)), whole)]
    scored = {
        name: _attribute_scores(summary, [(span, _score(name, scores, analysis)) for span, scores in placed])
        for name, threshold in analysis.thresholds.items()
        if choices.is_kept(summary := _score(name, whole, analysis), 0 if threshold is None else float32(threshold))
    }
    return {
        **({"attributeScores": scored} if scored else {}),
        "languages": list(analysis.spoken.used),
        **({"detectedLanguages": list(analysis.spoken.detected)} if analysis.spoken.detected else {}),
        **({} if analysis.client_token is None else {"clientToken": analysis.client_token}),
    }


def _check_attribute(name: str, parameters: Mapping[str, Any]) -> None:
    check_known(name)
    check_score_type(name, parameters.get("scoreType"))


def _score(name: str, scores: Scores, analysis: Analysis) -> float:
    score = ATTRIBUTES[name].score(scores)
    if score is None:  # routes may send a language to a model without the label
        raise unsupported(name, analysis.spoken)
    return float32(score)


def _attribute_scores(summary: float, spans: Sequence[tuple[Span, float]]) -> dict[str, Any]:
    return {
        "spanScores": [{"begin": begin, "end": end, "score": _typed(score)} for (begin, end), score in spans],
        "summaryScore": _typed(summary),
    }


def _typed(score: float) -> dict[str, Any]:
    return {"value": score, "type": _PROBABILITY}
