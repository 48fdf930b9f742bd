"""From raw scores to a verdict: calibrate, compare with the policy. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.bundles import LabelSpec
from schemas.codes import Verdict
from schemas.policies import Policy
from schemas.results import LabelScore
from workers.fold import Floats

DIGITS: Final = 6
"""Decimals of a score. The verdict is taken from the rounded score, so that it can be taken again from the result alone."""
_SEVERITY: Final = (Verdict.ALLOW, Verdict.REVIEW, Verdict.BLOCK)


def calibrate(raw: Floats, labels: Sequence[LabelSpec]) -> Floats:
    """Calibrated scores [texts, labels] of raw scores [texts, labels]: straight lines between each label's knots."""
    maps = [label.calibration for label in labels]
    columns = [np.interp(raw[:, i], map_.raw, map_.calibrated) for i, map_ in enumerate(maps)]
    return np.stack(columns, axis=1)


def decide(
    raw: Floats, scores: Floats, labels: Sequence[LabelSpec], policy: Policy, language: str
) -> tuple[Verdict, tuple[LabelScore, ...]]:
    """The verdict over one text's scores [labels], and each label's part in it."""
    thresholds = policy.thresholds(language)
    verdicts: list[Verdict] = []
    lines: list[LabelScore] = []
    for label, raw_score, score in zip(labels, raw.round(DIGITS).tolist(), scores.round(DIGITS).tolist(), strict=True):
        threshold = thresholds.get(label.name)
        verdict = threshold.verdict(score) if threshold else Verdict.ALLOW
        verdicts.append(verdict)
        lines.append(LabelScore(label=label.name, raw_score=raw_score, score=score, over_threshold=verdict is not Verdict.ALLOW))
    return max(verdicts, key=_SEVERITY.index), tuple(lines)
