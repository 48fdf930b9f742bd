"""Policies: one TOML file a tenant decides what its calibrated scores mean."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Message
from schemas.bundles import Probability
from schemas.codes import Verdict


class Threshold(Message):
    """Calibrated scores from which a label means review, and block; leave one out and it never happens."""

    review: Probability | None = None
    block: Probability | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.review is not None and self.block is not None and self.review > self.block:
            raise ValueError("review must not be above block")
        return self

    def verdict(self, score: float) -> Verdict:
        """What `score` means for this label."""
        if self.block is not None and score >= self.block:
            return Verdict.BLOCK
        if self.review is not None and score >= self.review:
            return Verdict.REVIEW
        return Verdict.ALLOW


class Policy(Message):
    """Thresholds by label, with overrides by language. A label without a threshold never moves the verdict."""

    version: Literal[1] = Field(default=1, description="Version of this schema.")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(description="The tenant's name.")
    release: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="Version of the policy, yours to choose.")
    labels: dict[str, Threshold]
    languages: dict[str, dict[str, Threshold]] = Field(
        default_factory=dict, description="Label thresholds that replace the general ones."
    )

    def thresholds(self, language: str) -> dict[str, Threshold]:
        """The thresholds that hold for a text in `language` (its primary subtag, such as zh)."""
        return {**self.labels, **self.languages.get(language, {})}
