"""Rows of token ids to learn from, cut as serving cuts: what a model never saw, such as the middle of a text, it judges badly.

A harmless text is harmless throughout, so each of its windows is a row. Of a harmful one only the beginning is sure to carry
what its label says. And since serving takes the largest score over windows, the model must neither shout at a harmless window
nor miss one bad sentence in it: some harmful sentences are hidden in harmless company.

Harmless is a text that is known not to carry the first label, and carries none of the others. Where a text has one label of
several, all of its windows have it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from training.data_card import Task
from training.table import Labels, Table

FRAME: Final = 2
HIDDEN_TOKENS_MAX: Final = 32
"""Longest harmful text that is hidden among harmless tokens."""
COMPANY_TOKENS_MIN: Final = 24
"""Shortest harmless window to hide it in."""
Content = list[int]


@dataclass(frozen=True, slots=True)
class Windows:
    """Framed token ids, labels [rows, names] and data set of each row; none for what was put together from several."""

    ids: list[list[int]]
    labels: Labels
    names: tuple[str, ...]
    sets: list[str] = field(default_factory=list)

    @property
    def lengths(self) -> npt.NDArray[np.intp]:
        """Tokens of each row."""
        return np.array([len(row) for row in self.ids], np.intp)


def windows(table: Table, tokenizer: Tokenizer, tokens_max: int, task: Task = "multi_label") -> Windows:
    """The windows of `table`."""
    return learned(table, tokenizer, tokens_max, hidden=0, seed=0, task=task)


def learned(
    table: Table, tokenizer: Tokenizer, tokens_max: int, *, hidden: int, seed: int, task: Task = "multi_label"
) -> Windows:
    """The same, with `hidden` rows more of harmful sentences in harmless company."""
    tokenizer.no_padding()
    tokenizer.no_truncation()
    encoded = [encoding.ids for encoding in tokenizer.encode_batch(table.texts)]
    if not encoded:
        return Windows([], table.labels, table.names)
    begin, end = encoded[0][0], encoded[0][-1]
    harmless = (table.labels[:, 0] == 0) & ~(table.labels == 1).any(axis=1)
    whole = np.ones_like(harmless) if task == "single_label" else harmless
    contents, sources = _cut(encoded, whole, tokens_max - FRAME)
    labels = table.labels[sources]
    more, more_labels = _hide(contents, labels, harmless[sources], tokens_max - FRAME, hidden, np.random.default_rng(seed))
    framed = [[begin, *inner, end] for inner in contents + more]
    sets = [table.sources[source] for source in sources] + [""] * len(more)
    return Windows(framed, np.concatenate([labels, more_labels]), table.names, sets)


def _cut(encoded: Iterable[Content], whole: npt.NDArray[np.bool_], step: int) -> tuple[list[Content], list[int]]:
    """All windows of texts that are what they are throughout, the first of the others; and the text of each."""
    contents: list[Content] = []
    sources: list[int] = []
    for source, ids in enumerate(encoded):
        inner = ids[1:-1]
        cuts = [inner[at : at + step] for at in range(0, max(1, len(inner)), step)] if whole[source] else [inner[:step]]
        contents += cuts
        sources += [source] * len(cuts)
    return contents, sources


def _hide(
    contents: list[Content],
    labels: Labels,
    harmless: npt.NDArray[np.bool_],
    room: int,
    count: int,
    random: np.random.Generator,
) -> tuple[list[Content], Labels]:
    """`count` rows of a harmful text amid harmless ones, with the labels of the harmful; what it lacks stays unknown.

    Half as many rows are harmless throughout: else being put together would itself tell.
    """
    lengths = np.array([len(inner) for inner in contents])
    harmful = np.flatnonzero((labels[:, 0] == 1) & (lengths <= min(HIDDEN_TOKENS_MAX, room)))
    company = np.flatnonzero(harmless & (lengths >= COMPANY_TOKENS_MIN))
    if not count or not len(harmful) or not len(company):
        return [], labels[:0]
    made = list[Content]()
    chosen = random.choice(harmful, count)
    for attack in chosen:
        around, _ = _company(contents, company, room - len(contents[attack]), random)
        at = int(random.integers(0, len(around) + 1))
        made.append([*around[:at], *contents[attack], *around[at:]])
    together = [_company(contents, company, room, random) for _ in range(count // 2)]
    # A label is known to be absent from the whole where it is known to be absent from every part.
    absent = [labels[parts].max(axis=0) for _, parts in together]
    return made + [around for around, _ in together], np.concatenate([labels[chosen], *(row[None] for row in absent)])


def _company(
    contents: list[Content], company: npt.NDArray[np.intp], room: int, random: np.random.Generator
) -> tuple[Content, list[int]]:
    """Harmless texts, one after the other, up to a length drawn from all that there is room for; and which these are."""
    length = int(random.integers(min(COMPANY_TOKENS_MIN, room), room + 1))
    around, parts = Content(), list[int]()
    while len(around) < length:
        parts.append(int(random.choice(company)))
        around += contents[parts[-1]]
    return around[:length], parts
