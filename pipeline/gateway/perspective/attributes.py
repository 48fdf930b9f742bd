"""Which attributes there are, what of our models' labels each is made of, and in which languages.

Known and not served: Perspective has it and we do not. Its answer is that it supports no language of the request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.gateway.perspective.languages import base_language
from schemas.bundles import BundleManifest
from schemas.codes import Task

_PRODUCTION: Final = {
    "TOXICITY": "toxicity",
    "IDENTITY_ATTACK": "identity_attack",
    "INSULT": "insult",
    "PROFANITY": "profanity",
    "THREAT": "threat",
}
"""Attributes that are a label of ours."""
_SEVERE: Final = ("toxicity", "threat", "identity_attack", "insult", "profanity")
_NOT_SERVED: Final = (
    *("FLIRTATION", "ATTACK_ON_AUTHOR", "ATTACK_ON_COMMENTER", "INCOHERENT", "INFLAMMATORY", "LIKELY_TO_REJECT", "OBSCENE"),
    *("UNSUBSTANTIAL", "ATTACK_ON_PUBLISHER", "OFF_TOPIC"),
)
_NOT_SERVED_EITHER_WAY: Final = (
    *("AFFINITY", "COMPASSION", "CONSTRUCTIVE", "CURIOSITY", "NUANCE", "PERSONAL_STORY", "REASONING", "RESPECT"),
    *("ALIENATION", "FEARMONGERING", "GENERALIZATION", "MORAL_OUTRAGE", "POWER_APPEAL", "SCAPEGOATING"),
)
"""Seen with and without `_EXPERIMENTAL`."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """`labels` are what it is made of: none where it is not served. `languages` narrow those of the model."""

    labels: tuple[str, ...] = ()
    languages: frozenset[str] | None = None

    def score(self, scores: Mapping[str, float]) -> float | None:
        """The attribute's score from the labels' calibrated ones; None where one of them is missing."""
        if not self.labels or any(label not in scores for label in self.labels):
            return None
        return severe_toxicity(scores) if self.labels == _SEVERE else scores[self.labels[0]]


def severe_toxicity(scores: Mapping[str, float]) -> float:
    """SEVERE_TOXICITY: toxic, and a threat, an attack on identity, or an insult with profanity. Rises with each of its labels.

    It is at least x exactly where toxicity is, and either threat is, or identity_attack is, or insult and profanity both are.
    """
    grave = max(scores["threat"], scores["identity_attack"], min(scores["insult"], scores["profanity"]))
    return min(scores["toxicity"], grave)


def _attributes() -> Mapping[str, Attribute]:
    english = frozenset({"en"})
    production = {name: Attribute((label,)) for name, label in _PRODUCTION.items()} | {"SEVERE_TOXICITY": Attribute(_SEVERE)}
    return {
        **production,
        **{f"{name}_EXPERIMENTAL": attribute for name, attribute in production.items()},
        "SEXUALLY_EXPLICIT": Attribute(("sexual",)),
        "SPAM": Attribute(("spam",), english),  # the label was learned from English only
        "TOXICITY_FAST": Attribute(("toxicity",), english),
        **dict.fromkeys(_NOT_SERVED, Attribute()),
        **dict.fromkeys(_NOT_SERVED_EITHER_WAY, Attribute()),
        **{f"{name}_EXPERIMENTAL": Attribute() for name in _NOT_SERVED_EITHER_WAY},
    }


ATTRIBUTES: Final = _attributes()


class Catalogue:
    """What the models at hand support."""

    def __init__(self, models: Sequence[BundleManifest]) -> None:
        self._models = [
            (frozenset(base_language(language) for language in model.languages), {label.name for label in model.labels})
            for model in models
            if model.task is Task.MODERATION
        ]

    def supports(self, name: str, language: str) -> bool:
        """Whether the known attribute `name` can be scored in `language`, the base of a tag."""
        attribute = ATTRIBUTES[name]
        if not attribute.labels or (attribute.languages is not None and language not in attribute.languages):
            return False
        return any(language in spoken and labels.issuperset(attribute.labels) for spoken, labels in self._models)

    def speaks(self, language: str) -> bool:
        """Whether any model knows `language`, the base of a tag."""
        return any(language in spoken for spoken, _ in self._models)
