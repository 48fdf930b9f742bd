"""Policies: one TOML file a tenant decides what its calibrated scores mean, which words count, and what is left unscored."""

from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from schemas.base import Message
from schemas.bundles import Probability
from schemas.codes import Verdict

PHRASE_CHARACTERS_MAX: Final = 200
PHRASES_MAX: Final = 100_000
"""Phrases of one list: more belong into a model."""
HITS_MAX: Final = 16
"""Phrases of one list that a result names: enough for a person, and a text of nothing else stays small."""


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


class WordFile(Message):
    """A word list in a file of its own, a phrase a line; a blank line is none, nor is # alone or before a space."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(
        description="Its name; it lies beside the policy's file."
    )


Phrase = Annotated[str, Field(min_length=1, max_length=PHRASE_CHARACTERS_MAX)]
Phrases = Annotated[tuple[Phrase, ...], Field(max_length=PHRASES_MAX)]
WordList = Annotated[
    Annotated[Phrases, Tag("list")] | Annotated[WordFile, Tag("file")],
    Discriminator(lambda words: "file" if isinstance(words, dict | WordFile) else "list"),
]


class Words(Message):
    """Phrases that count whatever the scores are, looked for in the folded text, capitals or not."""

    block: WordList = Field(default=(), description="A text that holds one is blocked.")
    review: WordList = Field(default=(), description="A text that holds one is looked at, if it is not blocked.")
    allow: WordList = Field(
        default=(), description="Phrases of the other lists do not count within one; a text of nothing else is allowed."
    )


class WordHits(Message):
    """Which phrases a text holds that count, by number: the place in the list, or the line of its file. Never the words."""

    block: tuple[int, ...] = Field(default=(), exclude_if=lambda hits: not hits)
    review: tuple[int, ...] = Field(default=(), exclude_if=lambda hits: not hits)
    allow: tuple[int, ...] = Field(default=(), exclude_if=lambda hits: not hits)
    nothing_else: bool = Field(
        default=False, exclude_if=lambda alone: not alone, description="The text is nothing but phrases of the allow list."
    )


Unscored = Literal["hold", "allow", "block"]


class Policy(Message):
    """Thresholds by label, with overrides by language. A label without a threshold never moves the verdict."""

    version: Literal[1] = Field(default=1, description="Version of this schema.")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")] = Field(description="The tenant's name.")
    release: Annotated[str, Field(min_length=1, max_length=64)] = Field(description="Version of the policy, yours to choose.")
    unscored: Unscored = Field(
        default="hold", description="What a text means that could not be scored: hold is review. Its dead letter says so."
    )
    labels: dict[str, Threshold]
    languages: dict[str, dict[str, Threshold]] = Field(
        default_factory=dict, description="Label thresholds that replace the general ones."
    )
    words: Words = Field(default_factory=Words, description="Word lists.")

    def thresholds(self, language: str) -> dict[str, Threshold]:
        """The thresholds that hold for a text in `language` (its primary subtag, such as zh)."""
        return {**self.labels, **self.languages.get(language, {})}

    @property
    def unscored_verdict(self) -> Verdict:
        """What a text means that could not be scored."""
        return {"hold": Verdict.REVIEW, "allow": Verdict.ALLOW, "block": Verdict.BLOCK}[self.unscored]
