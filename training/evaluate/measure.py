"""All figures of a bundle over a table of test texts, as one report."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pipeline.decide import decide
from schemas.bundles import BundleManifest
from schemas.codes import Verdict
from schemas.policies import Policy
from training.evaluate.contrasts import by_phenomenon
from training.evaluate.disturb import DISTURBANCES, disturbed, kept, sample
from training.evaluate.groups import by_group, worst_ratio
from training.evaluate.headlines import HELD_OUT, OVER_BLOCKING, PROBES, headlines
from training.evaluate.metrics import DIGITS, one_of_several, quality
from training.table import Table
from workers.fold import Floats

ROBUST_ROWS: Final = 500
"""Texts of each language that are disguised in every way."""
NOT_HARM: Final = frozenset({"profanity"})
"""A label that alone asks for nothing: people swear at stubbed toes."""
Chosen = npt.NDArray[np.bool_]
Scorer = Callable[[Sequence[str]], Floats]
Report = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """A table with calibrated scores [texts, labels]; what the policy makes of them; and labels that are harmless."""

    table: Table
    scores: Floats
    manifest: BundleManifest
    policy: Policy
    harmless: frozenset[str] = frozenset()

    def flags(self, scores: Floats, languages: Sequence[str]) -> Chosen:
        """Whether the policy says review or block."""
        rows = zip(scores, languages, strict=True)
        verdicts = [decide(row, row, self.manifest.labels, self.policy, language)[0] for row, language in rows]
        return np.array([verdict is not Verdict.ALLOW for verdict in verdicts], bool)

    @cached_property
    def languages(self) -> list[str]:
        """Of each text."""
        return [language or "und" for language in self.table.note("language")]

    @cached_property
    def flagged(self) -> Chosen:
        """Of each text."""
        return self.flags(self.scores, self.languages)

    @property
    def top(self) -> str:
        """The first label that is not harmless: what groups and disguises are measured by. The first of all, where all are."""
        return next((name for name in self.table.names if name not in self.harmless), self.table.names[0])

    @property
    def topics(self) -> bool:
        """Whether no label asks for anything."""
        return self.harmless.issuperset(self.table.names)

    @cached_property
    def decisions(self) -> npt.NDArray[np.intp]:
        """Of each text: whether it is flagged, or of topics, the place of the highest score."""
        return self.scores.argmax(axis=1) if self.topics else self.flagged.astype(np.intp)

    @cached_property
    def natural(self) -> Chosen:
        """Texts that nobody made from templates."""
        made = {*PROBES, HELD_OUT}
        return np.array([source not in made for source in self.table.sources], bool)


def measure(measured: Measured, scorer: Scorer, robust_rows: int = ROBUST_ROWS) -> Report:
    """Everything; `scorer` gives calibrated scores of other texts."""
    table, manifest = measured.table, measured.manifest
    groups = dict(_groups(measured))
    return {
        "bundle": manifest.name,
        "release": manifest.release,
        "policy": f"{measured.policy.name} {measured.policy.release}",
        "texts": len(table.texts),
        "flagged": round(float(measured.flagged.mean()), DIGITS),
        "headlines": headlines(table, measured.scores) | _one_of_several(measured),
        "labels": _by_label(measured, measured.natural),
        "languages": _by(measured, measured.languages, measured.natural),
        "data_sets": _by(measured, table.sources, np.ones(len(table.texts), bool)),
        "harmless_flagged": dict(_harmless_flagged(measured)),
        "groups": groups,
        "worst_group": {name: worst for name, figures in groups.items() if (worst := worst_ratio(figures))},
        "contrast": _contrast(measured),
        "robustness": dict(_robustness(measured, scorer, robust_rows)),
    }


def _one_of_several(measured: Measured) -> dict[str, float]:
    """How often the highest score is the right one, where there is one label of several."""
    truth = measured.table.labels == 1
    rows = truth.sum(axis=1) == 1
    if measured.manifest.head != "softmax" or not rows.any():
        return {}
    return one_of_several(truth[rows], measured.scores[rows])


def _by_label(measured: Measured, chosen: Chosen) -> dict[str, Any]:
    return {
        name: quality(measured.table.column(name)[chosen], measured.scores[chosen, i])
        for i, name in enumerate(measured.table.names)
    }


def _by(measured: Measured, keys: Sequence[str], among: Chosen) -> dict[str, Any]:
    """The figures of each key among some texts, of the labels that its texts know."""
    found = {}
    for key in sorted({own for own, there in zip(keys, among, strict=True) if there}):
        chosen = among & np.array([own == key for own in keys], bool)
        found[key] = {name: of for name, of in _by_label(measured, chosen).items() if of["texts"]}
    return found


def _harmless_flagged(measured: Measured) -> Iterator[tuple[str, float]]:
    """Share of harmless texts that are flagged: of the moderation sets that are for it, or of each set of your own."""
    table = measured.table
    sources = np.array(table.sources)
    named = [(source, label) for source, label in OVER_BLOCKING if source in table.sources and label in table.names]
    for source, label in named:
        yield source, _share(measured.flagged[(sources == source) & (table.column(label) == 0)])
    if not named:
        harm = [i for i, name in enumerate(table.names) if name not in measured.harmless]
        harmless = (table.labels[:, harm] == 0).all(axis=1)
        for source in sorted(set(table.sources)):
            yield source, _share(measured.flagged[(sources == source) & harmless])


def _share(flagged: Chosen) -> float:
    return round(float(flagged.mean()), DIGITS) if len(flagged) else 0.0


def _groups(measured: Measured) -> Iterator[tuple[str, Any]]:
    """Of each probe, and of the texts that people wrote; of none where no label asks for anything."""
    table, top = measured.table, measured.top
    if measured.topics:
        return
    sources = np.array(table.sources)
    parts = {**{probe: sources == probe for probe in PROBES}, "all other texts": measured.natural}
    for name, chosen in parts.items():
        rows = np.flatnonzero(chosen)
        texts = [table.texts[row] for row in rows]
        score = measured.scores[rows, table.names.index(top)]
        found = by_group(texts, table.column(top)[rows], score, measured.flagged[rows])
        if found:
            yield name, found


def _contrast(measured: Measured) -> dict[str, Any]:
    table = measured.table
    harm = [i for i, name in enumerate(table.names) if name not in measured.harmless | NOT_HARM]
    harmful = (table.labels[:, harm] == 1).any(axis=1)
    return by_phenomenon(table.note("phenomenon"), table.note("pair"), harmful, measured.flagged)


def _robustness(measured: Measured, scorer: Scorer, rows_max: int) -> Iterator[tuple[str, Any]]:
    """Of the two languages, before and after each disguise; nothing where no label asks for anything."""
    if measured.topics:
        return
    table, at = measured.table, measured.table.names.index(measured.top)
    truth = table.column(measured.top)
    for language in ("en", "zh"):
        own = np.array([of == language for of in measured.languages], bool)
        rows = sample(truth, own & measured.natural, rows_max)
        if not rows:
            continue
        before = measured.scores[rows, at], measured.flagged[rows]
        found = {}
        for name in DISTURBANCES:
            scores = scorer([disturbed(name, table.texts[row]) for row in rows])
            after = scores[:, at], measured.flags(scores, [language] * len(rows))
            found[name] = kept(truth[rows], before, after)
        yield language, {"texts": len(rows), **found}
