"""Windows to learn from: harmless texts whole, harmful ones at their beginning, some of them hidden in harmless company."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from training.table import Table
from training.windows import COMPANY_TOKENS_MIN, HIDDEN_TOKENS_MAX, learned, windows

ROOM = 30
"""Tokens of a window, its frame left out."""


def table(*rows: tuple[int, tuple[float, float]]) -> Table:
    """Texts of so many words with labels "bad" and "worse"."""
    texts = [" ".join(f"w{word}" for word in range(length)) for length, _ in rows]
    labels = np.array([labels for _, labels in rows], np.float32)
    return Table(texts, labels, ["train"] * len(rows), ["a"] * len(rows), ("bad", "worse"))


def tokenizer(base: Path) -> Tokenizer:
    return Tokenizer.from_file(str(base / "tokenizer.json"))


def test_a_harmless_text_is_a_row_for_each_window_and_a_harmful_one_only_for_its_beginning(base: Path) -> None:
    found = windows(table((70, (0, 0)), (70, (1, 0)), (70, (np.nan, 0))), tokenizer(base), ROOM + 2)
    assert [len(ids) - 2 for ids in found.ids] == [30, 30, 10, 30, 30]
    assert {(ids[0], ids[-1]) for ids in found.ids} == {(0, 2)}
    assert found.labels[:, 0].tolist()[:4] == [0, 0, 0, 1]


def test_where_one_label_of_several_is_sought_every_window_has_it(base: Path) -> None:
    assert len(windows(table((70, (1, 0))), tokenizer(base), ROOM + 2, "single_label").ids) == 3


def test_a_harmful_text_is_hidden_whole_in_harmless_company_and_keeps_its_labels(base: Path) -> None:
    harmful = 5
    found = learned(table((harmful, (1, np.nan)), (28, (0, 0))), tokenizer(base), ROOM + 2, hidden=6, seed=1)
    hidden = found.ids[2:8]
    assert len({len(ids) for ids in hidden}) > 1
    assert all(len(ids) <= ROOM + 2 for ids in hidden)
    attack = found.ids[0][1:-1]
    assert all(any(ids[at : at + harmful] == attack for at in range(len(ids))) for ids in hidden)
    assert found.labels[2:8, 0].tolist() == [1] * 6
    assert np.isnan(found.labels[2:8, 1]).all()


def test_half_as_many_rows_are_harmless_texts_put_together_and_claim_no_more_than_their_parts(base: Path) -> None:
    open_, known = (25, (0, np.nan)), (26, (0, 0))
    found = learned(table((5, (1, 0)), open_, known), tokenizer(base), 60, hidden=40, seed=1)
    ids, labels = found.ids[43:], found.labels[43:]
    assert len(ids) == 20
    assert max(len(row) for row in ids) > 26 + 2
    assert not labels[:, 0].any()
    assert {bool(np.isnan(label)) for label in labels[:, 1]} == {True, False}


def test_nothing_is_hidden_where_no_text_is_fit_for_it(base: Path) -> None:
    long, short = HIDDEN_TOKENS_MAX + 1, COMPANY_TOKENS_MIN - 1
    rows = table((long, (1, 0)), (short, (0, 0)))
    assert len(learned(rows, tokenizer(base), 64, hidden=6, seed=1).ids) == 2


def test_no_texts_are_no_windows(base: Path) -> None:
    empty = Table([], np.zeros((0, 2), np.float32), [], [], ("a", "b"))
    assert windows(empty, tokenizer(base), 32).ids == []
