"""OpenAI's 13 categories in terms of our labels: one table, and what a result says in their words.

The model does not tell apart all that the categories do; the notes say where a category is an approximation. docs/openai.md
shows the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from pydantic_core import from_json, to_json

from schemas.codes import Verdict
from schemas.results import InferenceResult


@dataclass(frozen=True, slots=True)
class Category:
    """One of OpenAI's categories. Its score is the highest of `any_of`, or the lowest of `all_of` where it needs all at once.

    `also` are labels whose meaning has no category: they make this one true, as the nearest, and never move its score.
    """

    name: str
    any_of: tuple[str, ...] = ()
    all_of: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    note: str = ""

    def score(self, scores: Mapping[str, float]) -> float:
        """Between 0 and 1; rises with the scores of our labels and never falls."""
        if self.all_of:
            return min(scores.get(label, 0.0) for label in self.all_of)
        return max((scores.get(label, 0.0) for label in self.any_of), default=0.0)

    def holds(self, over: frozenset[str]) -> bool:
        """Whether it is true where the policy asks for review or block of the labels in `over`."""
        return bool(over.intersection((*self.any_of, *self.also))) or (bool(self.all_of) and over.issuperset(self.all_of))


NEAREST: Final = "harassment"
"""True where the policy flags a text for what no category names, such as a blocked word: clients expect one that is true."""

CATEGORIES: Final = (
    Category(NEAREST, any_of=("toxicity", "insult"), also=("profanity",), note="any rudeness; profanity has no category"),
    Category("harassment/threatening", any_of=("threat",), note="a threat against anybody, also without harassment"),
    Category("hate", any_of=("identity_attack",)),
    Category("hate/threatening", all_of=("identity_attack", "threat"), note="both at once, not necessarily of the same people"),
    Category("illicit", any_of=("illicit",), also=("spam",), note="requests for help with a crime; spam has no category"),
    Category("illicit/violent", all_of=("illicit", "threat"), note="both at once"),
    Category("self-harm", any_of=("self_harm",)),
    Category("self-harm/intent", any_of=("self_harm",), note="intent is not told apart: the same as self-harm"),
    Category("self-harm/instructions", note="never found: the model does not know them"),
    Category("sexual", any_of=("sexual",)),
    Category("sexual/minors", note="never found: the model cannot tell an age"),
    Category("violence", any_of=("threat",), note="threats only, not descriptions of violence"),
    Category("violence/graphic", note="never found: the model does not know it"),
)
"""All 13, in the order of replies; every label of ours stands in at least one."""

NAMES: Final = tuple(category.name for category in CATEGORIES)
_TEXT_ONLY: Final = {name: ["text"] for name in NAMES}


@dataclass(frozen=True, slots=True)
class Scores:
    """What a category needs of a result: whether the policy flags the text, and score and threshold by label."""

    flagged: bool
    labels: Mapping[str, tuple[float, bool]]

    @classmethod
    def of(cls, result: InferenceResult) -> Self:
        """Those of `result`; flagged means that its verdict is review or block."""
        labels = {label.label: (label.score, label.over_threshold) for label in result.labels}
        return cls(result.verdict is not Verdict.ALLOW, labels)

    @classmethod
    def load(cls, value: str) -> Self:
        """What `dump` wrote."""
        flagged, labels = from_json(value)
        return cls(flagged, labels)

    def dump(self) -> str:
        """As short JSON."""
        return to_json((self.flagged, self.labels)).decode()


NOTHING: Final = Scores(flagged=False, labels={})
"""Of a text that holds nothing but white space: there is nothing to score."""


def moderation(scores: Scores) -> dict[str, Any]:
    """One entry of `results`: all 13 categories in each map; flagged exactly where at least one of them is true."""
    values = {label: score for label, (score, _) in scores.labels.items()}
    over = frozenset(label for label, (_, is_over) in scores.labels.items() if is_over and scores.flagged)
    found = {category.name: category.holds(over) for category in CATEGORIES}
    if scores.flagged and not any(found.values()):
        found[NEAREST] = True
    return {
        "flagged": scores.flagged,
        "categories": found,
        "category_scores": {category.name: category.score(values) for category in CATEGORIES},
        "category_applied_input_types": _TEXT_ONLY,
    }
