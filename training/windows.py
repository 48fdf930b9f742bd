"""Rows of token ids to learn from, cut as serving cuts: what a model never saw, such as the middle of a text, it judges badly.

A harmless text is harmless throughout, so each of its windows is a row. Of a harmful one only the beginning is sure to carry
what its label says. And since serving takes the largest score over windows, the model must neither shout at a harmless window
nor miss one bad sentence in it: some harmful sentences are hidden in harmless company.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.labels import NAMES
from training.prepare import Table

FRAME: Final = 2
HIDDEN_TOKENS_MAX: Final = 32
"""Longest harmful text that is hidden among harmless tokens."""
COMPANY_TOKENS_MIN: Final = 24
"""Shortest harmless window to hide it in."""
Labels = npt.NDArray[np.float32]


def rows(table: Table, tokenizer: Tokenizer, tokens_max: int, hidden: int, seed: int) -> tuple[list[list[int]], Labels]:
    """Framed ids and labels [rows, labels] of the windows of `table`, and of `hidden` harmful sentences in company."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(table.texts)]
    begin, end = encoded[0][0], encoded[0][-1]
    harmless = (table.labels[:, NAMES.index("toxicity")] == 0) & ~(table.labels == 1).any(axis=1)
    contents: list[list[int]] = []
    sources: list[int] = []
    for source, ids in enumerate(encoded):
        inner = ids[1:-1]
        step = tokens_max - FRAME
        cuts = [inner[at : at + step] for at in range(0, len(inner), step)] if harmless[source] else [inner[:step]]
        contents += cuts
        sources += [source] * len(cuts)
    labels = table.labels[sources]
    more, more_labels = _hide(contents, labels, harmless[sources], tokens_max - FRAME, hidden, np.random.default_rng(seed))
    framed = [[begin, *inner, end] for inner in contents + more]
    return framed, np.concatenate([labels, more_labels])


def _hide(
    contents: list[list[int]],
    labels: Labels,
    harmless: npt.NDArray[np.bool_],
    room: int,
    count: int,
    random: np.random.Generator,
) -> tuple[list[list[int]], Labels]:
    """`count` rows of a harmful text amid a harmless one, with the labels of the harmful; what it lacks stays unknown."""
    lengths = np.array([len(inner) for inner in contents])
    harmful = np.flatnonzero((labels[:, NAMES.index("toxicity")] == 1) & (lengths <= HIDDEN_TOKENS_MAX))
    company = np.flatnonzero(harmless & (lengths >= COMPANY_TOKENS_MIN))
    if not count or not len(harmful) or not len(company):
        return [], labels[:0]
    made, chosen = [], random.choice(harmful, count)
    for attack, around in zip(chosen, random.choice(company, count), strict=True):
        kept = contents[around][: room - len(contents[attack])]
        at = int(random.integers(0, len(kept) + 1))
        made.append([*kept[:at], *contents[attack], *kept[at:]])
    return made, labels[chosen]
