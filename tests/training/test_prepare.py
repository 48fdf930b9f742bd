"""Preparation: a text has one split whatever set repeats it, and unknown is not no."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from training.prepare import prepare
from training.rows import CLEAN, Row
from training.sources import MODERATION, Source
from training.splits import TEST_SHARE, VALIDATION_SHARE, split_of
from training.table import Table, read_shards, table_of, write_shards


def source(name: str, *rows: Row, train_rows_max: int = 100) -> Source:
    def parse(_data: Path) -> Iterator[Row]:
        return iter(rows)

    return Source(name, "en", "CC0", "here", parse, train_rows_max)


def test_a_text_of_a_test_set_is_never_trained_on() -> None:
    train = source("a", Row("You ARE great!", CLEAN, "train"), Row("other", CLEAN, "train"))
    test = source("b", Row("you are  great", CLEAN, "test"))
    for order in ((train, test), (test, train)):
        table = prepare(order, Path())
        assert [split for text, split in zip(table.texts, table.splits, strict=True) if "great" in text.lower()] == ["test"]


def test_texts_that_differ_by_an_emoji_are_two() -> None:
    table = prepare([source("a", Row("I love you 💖", CLEAN, "train"), Row("I love you 🔪", CLEAN, "train"))], Path())
    assert len(table.texts) == 2


def test_texts_are_normalised_as_serving_does_it() -> None:
    assert prepare([source("a", Row("y0u 1d\u200biot", CLEAN, "train"))], Path()).texts == ["you idiot"]


def test_a_label_that_a_set_does_not_carry_is_unknown(tmp_path: Path) -> None:
    table = prepare([source("a", Row("hello there", {"toxicity": 0, "spam": 1}, "train"))], Path())
    assert np.isnan(table.labels[0]).sum() == table.labels.shape[1] - 2
    write_shards(tmp_path, table.rows())
    again = table_of(read_shards(tmp_path), table.names)
    assert np.array_equal(again.labels, table.labels, equal_nan=True)
    assert (again.texts, again.notes) == (table.texts, table.notes)


def test_no_large_set_drowns_a_small_one() -> None:
    rows = [Row(f"text number {number}", CLEAN, "train") for number in range(50)]
    assert len(prepare([source("a", *rows, train_rows_max=10)], Path()).texts) == 10


def test_hash_splits_have_the_shares_that_they_should() -> None:
    splits = [split_of(f"text {number}") for number in range(5000)]
    assert splits.count("test") / 5000 == pytest.approx(TEST_SHARE, abs=0.02)
    assert splits.count("validation") / 5000 == pytest.approx(VALIDATION_SHARE, abs=0.02)


def test_every_source_has_a_home_a_licence_and_a_name_of_its_own() -> None:
    assert len({source.name for source in MODERATION}) == len(MODERATION)
    assert all(source.licence and source.home for source in MODERATION)


@pytest.mark.parametrize("source", [one for one in MODERATION if one.name.startswith("hand-written")], ids=lambda one: one.name)
def test_hand_written_rows_are_filled_labelled_and_mostly_different(source: Source) -> None:
    rows = list(source.parse(Path()))
    assert all(row.text.strip() and "{" not in row.text and row.labels for row in rows)
    assert len({row.text for row in rows}) > 0.99 * len(rows)


def test_a_table_is_chosen_by_split_and_source() -> None:
    table = Table(["a", "b", "c"], np.zeros((3, 9), np.float32), ["train", "test", "test"], ["x", "x", "y"])
    assert table.where(split="test").texts == ["b", "c"]
    assert table.where(split="test", source="y").texts == ["c"]
