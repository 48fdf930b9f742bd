"""From raw scores to a verdict: calibrate, compare with the policy, heed its word lists. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.bundles import LabelSpec
from schemas.codes import Verdict
from schemas.policies import Policy, WordHits

Floats = npt.NDArray[np.float64]
LabelRow = dict[str, str | float | bool]
"""What a `LabelScore` holds, as plain data: there is one for each label of each job."""
DIGITS: Final = 6
"""Decimals of a score. The verdict is taken from the rounded score, so that it can be taken again from the result alone."""
SEVERITY: Final = {verdict: place for place, verdict in enumerate((Verdict.ALLOW, Verdict.REVIEW, Verdict.BLOCK))}


def calibrate(raw: Floats, labels: Sequence[LabelSpec]) -> Floats:
    """Calibrated scores [texts, labels] of raw scores [texts, labels]: straight lines between each label's knots."""
    maps = [label.calibration for label in labels]
    columns = [np.interp(raw[:, i], map_.raw, map_.calibrated) for i, map_ in enumerate(maps)]
    return np.stack(columns, axis=1)


def decide(
    raw: Floats, scores: Floats, labels: Sequence[LabelSpec], policy: Policy, language: str, words: WordHits | None = None
) -> tuple[Verdict, list[LabelRow]]:
    """The verdict over one text's scores [labels] and its word hits, and each label's part in it."""
    return decide_rounded(rounded(raw), rounded(scores), [label.name for label in labels], policy, language, words)


def highest(scores: Floats, labels: Sequence[LabelSpec]) -> str:
    """The name of the label with the highest of one text's scores [labels]."""
    return labels[int(np.argmax(scores))].name


def rounded(scores: Floats) -> list[Any]:
    """Scores as results hold them, in plain lists; of many texts at once, since one alone takes numpy nearly as long."""
    plain: list[Any] = scores.round(DIGITS).tolist()
    return plain


def decide_rounded(
    raw: Sequence[float],
    scores: Sequence[float],
    names: Sequence[str],
    policy: Policy,
    language: str,
    words: WordHits | None = None,
) -> tuple[Verdict, list[LabelRow]]:
    """`decide` for scores that are rounded, of labels with these names."""
    verdict, asked = judge(zip(names, scores, strict=True), policy, language, words)
    rows = zip(names, raw, scores, asked, strict=True)
    return verdict, [
        {"label": name, "raw_score": raw_score, "score": score, "over_threshold": wanted is not Verdict.ALLOW}
        for name, raw_score, score, wanted in rows
    ]


def judge(
    scores: Iterable[tuple[str, float]], policy: Policy, language: str, words: WordHits | None = None
) -> tuple[Verdict, list[Verdict]]:
    """The verdict over (label, rounded calibrated score) pairs and word hits; and what each label asks for, in order."""
    thresholds = policy.thresholds(language)
    asked = [thresholds[label].verdict(score) if label in thresholds else Verdict.ALLOW for label, score in scores]
    verdict = gravest(asked)
    return (_with_words(verdict, words) if words else verdict), asked


def gravest(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe; allow where there is none."""
    return max(verdicts, key=SEVERITY.__getitem__, default=Verdict.ALLOW)


def _with_words(verdict: Verdict, words: WordHits) -> Verdict:
    if words.block:
        return Verdict.BLOCK
    by_scores = Verdict.ALLOW if words.nothing_else else verdict
    return gravest((by_scores, Verdict.REVIEW)) if words.review else by_scores
