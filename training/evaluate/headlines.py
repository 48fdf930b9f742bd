"""What of the moderation sets is told first, and which of their texts must not be flagged."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from training.evaluate.metrics import DIGITS, accuracy, auroc, macro_f1
from training.table import Table
from workers.fold import Floats

PROBE_EVERY: Final = 10
"""Of the templated bias probes, so many times 7,000 rows, every tenth is enough."""
PROBES: Final = ("bias-madlibs", "zh-templates")
HELD_OUT: Final = "contrast-heldout"
"""Contrast sentences that training never sees; they are no test split of anybody's."""


class Figure(NamedTuple):
    """A headline: what is measured on which test set by which label."""

    name: str
    source: str
    label: str
    measure: Callable[[Floats, Floats], float]


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


def headlines(table: Table, scores: Floats) -> dict[str, float]:
    """The headlines whose sets are in `table`."""
    sources = np.array(table.sources)
    found = {}
    for figure in HEADLINES:
        if figure.label in table.names and figure.source in table.sources:
            truth = table.column(figure.label)
            chosen = (sources == figure.source) & ~np.isnan(truth)
            score = scores[chosen, table.names.index(figure.label)]
            found[figure.name] = round(figure.measure(truth[chosen], score), DIGITS)
    return found


def rows_to_test(table: Table, probe_every: int) -> Table:
    """The rows that a bundle is measured on: test splits, of the bias probes only some, and held-out contrast sentences."""
    chosen, seen = [], 0
    for row, (source, split) in enumerate(zip(table.sources, table.splits, strict=True)):
        probe = source in PROBES
        seen += probe
        if (split == "test" or source == HELD_OUT) and (not probe or seen % probe_every == 0):
            chosen.append(row)
    return table.take(chosen)
