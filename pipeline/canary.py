"""Canaries: a known-bad and a known-good text, sent through the queue as ordinary jobs, and what counts as the right answer.

They are the jobs of a tenant of their own, whose policy is the shipped one unless the policies folder holds another by that name.
So an operator's own policies, which may allow what they like, say nothing against the machinery.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic_core import from_json

from pipeline.settings import Settings
from schemas.codes import Verdict
from schemas.jobs import TextJob

CANARY_TENANT: Final = "llmos-canary"
"""Reserved: readers pass over its results unless asked, and no API key is made for it."""


class Kind(StrEnum):
    """Which of the two."""

    BAD = "bad"
    GOOD = "good"


RIGHT: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.BAD: frozenset({Verdict.REVIEW, Verdict.BLOCK}),
    Kind.GOOD: frozenset({Verdict.ALLOW}),
}
"""The right answers: how grave the bad text is depends on thresholds, that it is flagged does not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a canary after so many seconds: a verdict, the code of a dead letter, or None for nothing in time."""

    kind: Kind
    said: str | None
    seconds: float

    @property
    def right(self) -> bool:
        """Whether all is well."""
        return self.said in RIGHT[self.kind]

    @property
    def trouble(self) -> str | None:
        """A sentence where something is wrong; None where the answer is right."""
        if self.right:
            return None
        if self.said is None:
            return f"the known-{self.kind} canary had no answer within {self.seconds:.0f} s"
        if self.said in frozenset(Verdict):
            return f"the known-{self.kind} canary got the verdict {self.said}"
        return f"the known-{self.kind} canary became a dead letter: {self.said}"


def canary_jobs(settings: Settings) -> dict[Kind, TextJob]:
    """A fresh job of each kind, whose outcome comes to the canary topic."""
    texts = {Kind.BAD: settings.canary_bad_text, Kind.GOOD: settings.canary_good_text}
    return {kind: TextJob(text=text, tenant=CANARY_TENANT, reply_to=settings.canary_topic) for kind, text in texts.items()}


def said_by(outcome: bytes | None) -> str | None:
    """The verdict of a result, or the code of a dead letter; None for what is neither."""
    try:
        found = from_json(outcome or b"")
    except ValueError:
        return None
    said = (found.get("verdict") or found.get("code")) if isinstance(found, dict) else None
    return said if isinstance(said, str) else None
