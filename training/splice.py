"""Texts that nobody labelled, for a teacher to judge: the beginning of one training text and the end of another.

A teacher has seen the training texts, and says about them what their labels say. What it knows beyond them shows on texts that
are new to it. (Making such texts up for the pupil: Jiao et al. 2020, TinyBERT, there by a language model.)
"""

import numpy as np

from training.windows import Windows


def with_spliced(rows: Windows, count: int, tokens_max: int, seed: int) -> Windows:
    """`rows` and `count` more, of which no label is known and no data set named; of one set both parts.

    A set is drawn by the square root of its size, so that large ones do not crowd out the others.
    """
    named = np.array(rows.sets)
    sets, sizes = np.unique(named[named != ""], return_counts=True)
    if not count or not len(sets):
        return rows
    random = np.random.default_rng((seed, count))
    chances = np.sqrt(sizes) / np.sqrt(sizes).sum()
    members = {name: np.flatnonzero(named == name) for name in sets}
    pairs = [random.choice(members[name], 2) for name in random.choice(sets, count, p=chances)]
    made = [_spliced(rows.ids[first], rows.ids[second], tokens_max, random) for first, second in pairs]
    unknown = np.full((count, len(rows.names)), np.nan, rows.labels.dtype)
    return Windows(rows.ids + made, np.concatenate([rows.labels, unknown]), rows.names, rows.sets + [""] * count)


def _spliced(first: list[int], second: list[int], tokens_max: int, random: np.random.Generator) -> list[int]:
    """Framed ids, `tokens_max` at most: some of the first row's beginning, some of the second's end."""
    begin, *head, end = first
    tail = second[1:-1]
    joined = head[: random.integers(0, len(head) + 1)] + tail[random.integers(0, len(tail) + 1) :]
    return [begin, *joined[: tokens_max - 2], end]
