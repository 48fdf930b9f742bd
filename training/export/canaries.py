"""Texts whose verdict or topic is known: a worker that gets one wrong does not report ready."""

from typing import Final

import numpy as np

from schemas.bundles import Canary
from schemas.codes import Verdict
from schemas.errors import BundleError
from training.data_card import DataCard
from training.labels import NAMES
from training.table import Table
from workers.fold import Floats

MODERATION: Final = (
    Canary(text="Thank you, that was very helpful.", verdict=Verdict.ALLOW),
    Canary(text="你好，今天天气很好，我们一起去公园吧。", verdict=Verdict.ALLOW),
    Canary(text="Shut up, you worthless piece of shit.", verdict=Verdict.BLOCK),
    Canary(text="你这个傻逼，滚出去！", verdict=Verdict.BLOCK),
)
EACH: Final = 2
LABELS_MIN: Final = 2
"""That a model of topics must tell apart."""
CHARACTERS_MAX: Final = 300
"""Of a text that becomes a canary, and so stands in the manifest."""


def canaries_of(card: DataCard, table: Table, scores: Floats) -> tuple[Canary, ...]:
    """Those of the moderation labels; for others, texts of `table` that the model, with `scores` [texts, labels], is surest of.

    It is right about them, too. Their verdicts are allow and block until `training.calibrate` knows the policy; where every label
    is harmless, each expects its label.
    """
    if card.names == NAMES:
        return MODERATION
    if card.asks_for_nothing:
        return _topics(table, scores)
    harm = [i for i, label in enumerate(card.labels) if not label.harmless]
    truly = (table.labels[:, harm] == 1).any(axis=1)
    order = [int(i) for i in np.argsort(scores[:, harm].max(axis=1), kind="stable") if len(table.texts[i]) <= CHARACTERS_MAX]
    allowed, blocked = ([i for i in order if truly[i] == harmful] for harmful in (False, True))
    if not allowed or not blocked:
        raise BundleError(
            f"of {len(table.texts)} texts, no short one is {'harmful' if allowed else 'harmless'}: no canaries; "
            "the data file marks which labels are harmless = true"
        )
    chosen = [(i, Verdict.ALLOW) for i in allowed[:EACH]] + [(i, Verdict.BLOCK) for i in blocked[-EACH:]]
    return tuple(Canary(text=table.texts[i], verdict=verdict) for i, verdict in chosen)


def _topics(table: Table, scores: Floats) -> tuple[Canary, ...]:
    """The surest text of each label; raises BundleError where it knows only one of them."""
    best = scores.argmax(axis=1)
    short = np.array([len(text) <= CHARACTERS_MAX for text in table.texts], bool)
    found = list[Canary]()
    for i, name in enumerate(table.names):
        rows = np.flatnonzero(short & (best == i) & (table.labels[:, i] == 1))
        if len(rows):
            found.append(Canary(text=table.texts[int(rows[np.argmax(scores[rows, i])])], label=name))
    if len(found) < LABELS_MIN:
        raise BundleError(f"of {len(table.texts)} texts, it finds no short one of two labels rightly: no canaries")
    return tuple(found)
