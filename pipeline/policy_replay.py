"""Past results under another policy: which verdicts would have been others. From stored scores and word hits, without a model."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pipeline.decide import SEVERITY, judge
from pipeline.policies import LoadedPolicy
from schemas.codes import Verdict
from schemas.policies import Policy, WordHits, WordList
from schemas.results import InferenceResult

WORDS: Final = "(words)"
"""Stands for the word lists among labels."""
UNEXPLAINED: Final = "(unexplained)"
"""Stands for what neither labels nor word lists explain: a result that was not decided as it says."""
Flip = tuple[Verdict, Verdict]
"""The verdict in the result, and the new one."""
Group = Literal["label", "language", "tenant"]
GROUPS: Final[tuple[Group, ...]] = ("label", "language", "tenant")


@dataclass(frozen=True, slots=True)
class Example:
    """A result that flips, and what made it."""

    flip: Flip
    result: InferenceResult
    because: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What a replay counts. A flip counts for every label that made it, so labels may add up to more than all flips."""

    results: int = 0
    with_words: int = 0
    """Results whose word hits counted: the texts are not stored, so other phrases are not looked for."""
    guessed: int = 0
    """Flips of results under policies that are not known, whose labels are blamed where they were over their thresholds."""
    flips: Counter[Flip] = field(default_factory=Counter)
    by: dict[Group, defaultdict[str, Counter[Flip]]] = field(
        default_factory=lambda: {group: defaultdict(Counter) for group in GROUPS}
    )
    totals: dict[Group, Counter[str]] = field(default_factory=lambda: {group: Counter() for group in GROUPS})
    """All results of a language or tenant, and of a label those that hold it."""
    examples: list[Example] = field(default_factory=list)


class Replay:
    """Judges results again by `policy`; `known` are policies as they hold now, from which an old result may be explained."""

    def __init__(self, policy: Policy, known: Iterable[LoadedPolicy] = (), *, examples: int = 0) -> None:
        self._policy = policy
        self._known: Mapping[str, Policy] = {loaded.ref.sha256: loaded.policy for loaded in known}
        self._examples_of_a_flip = examples
        self.tally = Tally()

    def take(self, result: InferenceResult) -> None:
        """Count one result."""
        words = _still_listed(result.words, self._policy)
        scores = [(line.label, line.score) for line in result.labels]
        verdict, asked = judge(scores, self._policy, result.language, words)
        tally = self.tally
        tally.results += 1
        tally.with_words += words is not None
        tally.totals["language"][result.language] += 1
        tally.totals["tenant"][result.tenant] += 1
        tally.totals["label"].update(label for label, _ in scores)
        if verdict is not result.verdict:
            self._flipped(result, (result.verdict, verdict), dict(zip((label for label, _ in scores), asked, strict=True)))

    def _flipped(self, result: InferenceResult, flip: Flip, asked: Mapping[str, Verdict]) -> None:
        because = tuple(_because(flip, self._asked_before(result), asked)) or (WORDS if result.words else UNEXPLAINED,)
        tally = self.tally
        tally.flips[flip] += 1
        tally.by["language"][result.language][flip] += 1
        tally.by["tenant"][result.tenant][flip] += 1
        for label in because:
            tally.by["label"][label][flip] += 1
        if tally.flips[flip] <= self._examples_of_a_flip:
            tally.examples.append(Example(flip, result, because))

    def _asked_before(self, result: InferenceResult) -> dict[str, Verdict]:
        known = self._known.get(result.policy.sha256)
        if known is None:
            self.tally.guessed += 1
            over = Verdict.REVIEW if _words_decided(result.words) else result.verdict
            return {line.label: over if line.over_threshold else Verdict.ALLOW for line in result.labels}
        scores = [(line.label, line.score) for line in result.labels]
        return dict(zip((label for label, _ in scores), judge(scores, known, result.language)[1], strict=True))


def _because(flip: Flip, before: Mapping[str, Verdict], now: Mapping[str, Verdict]) -> Iterator[str]:
    """The labels that ask for the new verdict and did not before, where it is graver; else those that ask for the old no more."""
    old, new = flip
    for label, asked in now.items():
        graver = SEVERITY[asked] > SEVERITY[before[label]] and asked == new and SEVERITY[new] > SEVERITY[old]
        milder = SEVERITY[asked] < SEVERITY[before[label]] and before[label] == old and SEVERITY[new] < SEVERITY[old]
        if graver or milder:
            yield label


def _words_decided(words: WordHits | None) -> bool:
    return words is not None and (words.nothing_else or bool(words.block))


def _still_listed(words: WordHits | None, policy: Policy) -> WordHits | None:
    """The hits of lists that `policy` has."""
    if words is None:
        return None
    kept = WordHits(
        block=words.block if _is_there(policy.words.block) else (),
        review=words.review if _is_there(policy.words.review) else (),
        allow=words.allow if _is_there(policy.words.allow) else (),
        nothing_else=words.nothing_else and _is_there(policy.words.allow),
    )
    return kept if kept != WordHits() else None


def _is_there(words: WordList) -> bool:
    return words != ()
