"""Whether texts that name one group of people are judged as those are that name another.

A group is a term, as in the study that made the English probe (Dixon et al., 2018). Three areas under the ROC curve tell how a
group fares (Borkan et al., 2019): among its own texts (subgroup); its harmless texts against harmful ones of others (BPSN: low
means that naming the group is taken for harm); its harmful texts against harmless ones of others (BNSP: low means that harm
against it is missed).
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from training.evaluate.metrics import DIGITS, auroc
from workers.fold import Floats

EACH_MIN: Final = 10
"""Harmful and harmless texts that a group needs, each: fewer say nothing."""
_LONGEST_FIRST: Final = sorted(
    "|".join((Path(__file__).parent / "identity-terms.txt").read_text("utf-8").splitlines()[1:]).split("|"), key=len, reverse=True
)
_TERMS: Final = re.compile(
    "|".join(rf"\b{re.escape(term)}s?\b" if term.isascii() else re.escape(term) for term in _LONGEST_FIRST), re.IGNORECASE
)
_KNOWN: Final = frozenset(_LONGEST_FIRST)
Chosen = npt.NDArray[np.bool_]
Fairness = dict[str, float | int]


def named(text: str) -> set[str]:
    """The groups that `text` names; the longest term at each place, so that an African American is no American."""
    found = {match.group().lower() for match in _TERMS.finditer(text)}
    return {term if term in _KNOWN else term.removesuffix("s") for term in found}


def by_group(texts: Sequence[str], truth: Floats, score: Floats, flagged: Chosen) -> dict[str, Fairness]:
    """The figures of each group with enough texts; `truth` [n] is NaN where unknown, `flagged` is what the policy says."""
    known = np.flatnonzero(~np.isnan(truth))
    members: dict[str, list[int]] = {}
    for at, number in enumerate(known):
        for group in named(texts[int(number)]):
            members.setdefault(group, []).append(at)
    truth, score, flagged = truth[known], score[known], flagged[known]
    return dict(_figures(members, truth, score, flagged))


def _figures(members: dict[str, list[int]], truth: Floats, score: Floats, flagged: Chosen) -> Iterator[tuple[str, Fairness]]:
    for group, rows in sorted(members.items()):
        own = np.zeros(len(truth), bool)
        own[rows] = True
        harmful, harmless = own & (truth == 1), own & (truth == 0)
        if min(harmful.sum(), harmless.sum()) < EACH_MIN:
            continue
        yield (
            group,
            {
                "texts": len(rows),
                "positive": int(harmful.sum()),
                "subgroup_auc": round(auroc(truth[own], score[own]), DIGITS),
                "bpsn_auc": round(_against(harmless, ~own & (truth == 1), truth, score), DIGITS),
                "bnsp_auc": round(_against(harmful, ~own & (truth == 0), truth, score), DIGITS),
                "false_positive_rate": round(float(flagged[harmless].mean()), DIGITS),
            },
        )


def _against(own: Chosen, others: Chosen, truth: Floats, score: Floats) -> float:
    both = own | others
    return auroc(truth[both], score[both]) if others.any() else float("nan")


def worst_ratio(groups: dict[str, Fairness]) -> list[str | float] | None:
    """The group with the highest false-positive rate, and how many times the mean over groups that is; as a bundle holds it."""
    rates = {group: float(figures["false_positive_rate"]) for group, figures in groups.items()}
    mean = float(np.mean(list(rates.values()))) if rates else 0.0
    if not mean:
        return None
    worst = max(rates, key=rates.__getitem__)
    return [worst, round(rates[worst] / mean, 2)]
