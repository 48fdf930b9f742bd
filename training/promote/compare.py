"""A candidate against the bundle in service, on the same texts under the same policy: what changes for whom, and is it worse."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from training.evaluate.groups import by_group
from training.evaluate.measure import Measured
from training.evaluate.metrics import DIGITS, auroc

ROWS_MIN: Final = 100
"""Texts that a language or data set needs for a flagged rate of its own."""
ALL: Final = "all texts"
EACH_MIN: Final = 30
"""Texts with and without a label that a group needs, each, for a quality of its own."""
Chosen = npt.NDArray[np.bool_]


class Limits(NamedTuple):
    """What may change before a person has to say that it shall."""

    flagged_shift: float = 0.02
    """Of the share of flagged texts, over all of them; twice that in one language or data set."""
    flipped: float = 0.05
    """Share of texts with another decision."""
    quality_loss: float = 0.01
    """Of AUROC, in any group, beyond what chance explains."""
    group_rate: float = 0.05
    """Rise of the share of harmless texts that name a group of people and are flagged."""


def compare(before: Measured, after: Measured, limits: Limits) -> tuple[dict[str, Any], list[str]]:
    """What was found, and the reasons against the candidate; none means that it may serve."""
    groups = {ALL: np.ones(len(before.table.texts), bool), **dict(_parts(before))}
    enough = {name: own for name, own in groups.items() if own.sum() >= ROWS_MIN or name == ALL}
    rates = {name: _rates(before.flagged[own], after.flagged[own]) for name, own in enough.items()}
    quality = dict(_quality(before, after, groups))
    people = dict(_people(before, after))
    flipped = round(float((before.decisions != after.decisions).mean()), DIGITS)
    found = {
        "texts": len(before.table.texts),
        "flipped": flipped,
        "flagged": rates,
        "auroc": quality,
        "harmless_flagged_of_groups": people,
    }
    return found, [*_shifts(rates, limits), *_flips(flipped, limits), *_losses(quality, limits), *_rises(people, limits)]


def _parts(measured: Measured) -> Iterator[tuple[str, Chosen]]:
    """Each language and each data set."""
    for keys in (measured.languages, measured.table.sources):
        for key in sorted(set(keys)):
            yield key, np.array([own == key for own in keys], bool)


def _rates(before: Chosen, after: Chosen) -> list[float]:
    return [round(float(flagged.mean()), DIGITS) for flagged in (before, after)]


def _quality(before: Measured, after: Measured, groups: Mapping[str, Chosen]) -> Iterator[tuple[str, list[float]]]:
    """AUROC of each label in each group, before and after, and how far chance alone may move it."""
    for i, name in enumerate(before.table.names):
        truth = before.table.column(name)
        for group, own in groups.items():
            chosen = own & ~np.isnan(truth)
            fewer = min((truth[chosen] == 1).sum(), (truth[chosen] == 0).sum())
            if fewer >= EACH_MIN:
                areas = [auroc(truth[chosen], measured.scores[chosen, i]) for measured in (before, after)]
                error = float(np.sqrt(areas[0] * (1 - areas[0]) / fewer))
                yield f"{name}, {group}", [round(value, DIGITS) for value in (*areas, error)]


def _people(before: Measured, after: Measured) -> Iterator[tuple[str, list[float]]]:
    """The share of harmless texts that are flagged, of each group of people; nothing where no label asks for anything."""
    if before.topics:
        return
    table, top = before.table, before.top
    truth, at = table.column(top), before.table.names.index(top)
    rows = [by_group(table.texts, truth, one.scores[:, at], one.flagged) for one in (before, after)]
    for group in rows[0]:
        yield group, [float(found[group]["false_positive_rate"]) for found in rows]


def _shifts(rates: Mapping[str, Sequence[float]], limits: Limits) -> Iterator[str]:
    for group, (old, new) in rates.items():
        limit = limits.flagged_shift * (1 if group == ALL else 2)
        if abs(new - old) > limit:
            yield f"{group}: {new:.1%} are flagged, and {old:.1%} were (limit {limit:.1%})"


def _flips(share: float, limits: Limits) -> Iterator[str]:
    if share > limits.flipped:
        yield f"{share:.1%} of the decisions are others (limit {limits.flipped:.1%})"


def _losses(quality: Mapping[str, Sequence[float]], limits: Limits) -> Iterator[str]:
    for group, (old, new, error) in quality.items():
        if old - new > limits.quality_loss + error:
            yield f"{group}: AUROC falls from {old:.3f} to {new:.3f}"


def _rises(people: Mapping[str, Sequence[float]], limits: Limits) -> Iterator[str]:
    for group, (old, new) in people.items():
        if new - old > limits.group_rate:
            yield f"harmless texts that name {group}: {new:.1%} are flagged, and {old:.1%} were"
