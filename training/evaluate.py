"""Measure a bundle on the test texts, as a worker scores them, and write the figures into its manifest and its card.

    python -m training.evaluate --bundle models/moderation-en-zh --prepared prepared.jsonl

No test text was trained, validated or calibrated on. `flagged` means: the default policy says review or block.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from pipeline.policies import LoadedPolicy, load_policies
from pipeline.settings import Settings
from schemas.bundles import LabelSpec
from schemas.codes import Verdict
from training.card import model_card
from training.labels import NAMES
from training.prepare import Table, load_table
from training.served import Served, rewrite_manifest
from workers.decide import decide
from workers.fold import Floats

PROBE_EVERY: Final = 10
"""Of the templated bias probes, so many times 7,000 rows, every tenth is enough."""
PROBES: Final = ("bias-madlibs", "zh-templates")
DECISION: Final = 0.5


class Figure(NamedTuple):
    """A headline: what is measured on which test set by which label."""

    name: str
    source: str
    label: str
    measure: Callable[[Floats, Floats], float]


def accuracy(truth: Floats, score: Floats) -> float:
    """Share of right decisions at 0.5."""
    return float(accuracy_score(truth, score >= DECISION))


def macro_f1(truth: Floats, score: Floats) -> float:
    """Mean of the F1 of both classes at 0.5."""
    return float(f1_score(truth, score >= DECISION, average="macro"))


def auroc(truth: Floats, score: Floats) -> float:
    """Area under the ROC curve."""
    return float(roc_auc_score(truth, score))


HEADLINES: Final = (
    Figure("COLD test, accuracy of toxicity", "cold", "toxicity", accuracy),
    Figure("COLD test, AUROC of toxicity", "cold", "toxicity", auroc),
    Figure("Wikipedia-1492, AUROC of toxicity", "wikipedia-1492", "toxicity", auroc),
    Figure("EDOS task A test, macro-F1 of identity_attack", "edos", "identity_attack", macro_f1),
    Figure("hatemoji build_test, accuracy of identity_attack", "hatemoji", "identity_attack", accuracy),
    Figure("SMS spam, macro-F1 of spam", "sms-spam", "spam", macro_f1),
    Figure("madlibs, AUROC of toxicity", "bias-madlibs", "toxicity", auroc),
    Figure("zh-templates, AUROC of toxicity", "zh-templates", "toxicity", auroc),
)
OVER_BLOCKING: Final = (
    ("context-toxicity-gn", "toxicity"),
    ("xstest", "illicit"),
    ("goemotions", "toxicity"),
    ("cvalues", "toxicity"),
)
"""Sets, and the label whose denial makes a text of theirs harmless."""


def thinned(table: Table) -> Table:
    """`table` with only every tenth row of the bias probes."""
    chosen, seen = [], 0
    for row, source in enumerate(table.sources):
        seen += source in PROBES
        if source not in PROBES or seen % PROBE_EVERY == 0:
            chosen.append(row)
    return table.take(chosen)


def measure(table: Table, scores: Floats, specs: tuple[LabelSpec, ...], policy: LoadedPolicy) -> dict[str, object]:
    """All figures of a test table with calibrated `scores` [texts, labels]."""
    sources = np.array(table.sources)
    flagged = np.array([decide(row, row, specs, policy.policy, "und")[0] is not Verdict.ALLOW for row in scores])
    return {
        "headlines": {figure.name: round(_headline(figure, table, scores, sources), 4) for figure in HEADLINES},
        "labels": {name: _label(table.labels[:, i].astype(np.float64), scores[:, i]) for i, name in enumerate(NAMES)},
        "harmless_flagged": {
            source: round(float(flagged[(sources == source) & (table.labels[:, NAMES.index(label)] == 0)].mean()), 4)
            for source, label in OVER_BLOCKING
        },
        "texts": len(table.texts),
    }


def _headline(figure: Figure, table: Table, scores: Floats, sources: np.ndarray) -> float:
    column = NAMES.index(figure.label)
    chosen = (sources == figure.source) & ~np.isnan(table.labels[:, column])
    return figure.measure(table.labels[chosen, column].astype(np.float64), scores[chosen, column])


def _label(truth: Floats, score: Floats) -> dict[str, float]:
    known = ~np.isnan(truth)
    truth, score = truth[known], score[known]
    return {
        "texts": int(known.sum()),
        "positive": int(truth.sum()),
        "auroc": round(auroc(truth, score), 4),
        "auprc": round(float(average_precision_score(truth, score)), 4),
        "f1": round(float(f1_score(truth, score >= DECISION)), 4),
        "calibration_error": round(calibration_error(truth, score), 4),
    }


def calibration_error(truth: Floats, score: Floats, bins: int = 15) -> float:
    """Expected calibration error: mean distance of score and share of positives over bins of equal width (Guo et al., 2017)."""
    number = np.minimum((score * bins).astype(int), bins - 1)
    gaps = [abs(truth[number == b].mean() - score[number == b].mean()) * (number == b).mean() for b in np.unique(number)]
    return float(np.sum(gaps))


def main() -> None:
    """Measure, write, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    arguments.add_argument("--prepared", type=Path, required=True, help="what training.prepare wrote")
    given = arguments.parse_args()
    table = thinned(load_table(given.prepared).where(split="test"))
    served = Served(given.bundle)
    figures = measure(
        table, served.scores(table.texts), served.bundle.manifest.labels, load_policies(Settings().policies_dir)["default"]
    )
    manifest = rewrite_manifest(given.bundle, metrics=figures)
    (given.bundle / "README.md").write_text(model_card(manifest), "utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
