"""Texts of the benchmarks: lengths drawn as those of public comments, batches as the model alone gets them."""

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.support.ceiling import batches, layouts
from benchmarks.support.texts import LENGTHS, real_texts, resample, wanted_length, windows_of
from pipeline.bundles import open_bundle

BUNDLE = open_bundle(Path(__file__).resolve().parents[2] / "models" / "moderation-en-zh")


@pytest.mark.parametrize(("share", "length"), [(0.0, 1), (0.05, 6), (0.5, 21), (0.525, 22), (0.95, 62), (1.0, 128)])
def test_wanted_lengths_follow_the_percentiles(share: float, length: int) -> None:
    assert wanted_length(share) == length


def test_wanted_lengths_grow_with_the_share() -> None:
    lengths = [wanted_length(number / 1_000) for number in range(1_001)]
    assert lengths == sorted(lengths)
    assert set(LENGTHS) <= set(lengths)


def test_a_text_of_about_the_wanted_length_is_drawn() -> None:
    lengths = list(range(0, 1_000, 2))
    chosen = resample(lengths, [0, 21, 500, 5_000], random.Random(1))
    assert [abs(lengths[number] - wanted) <= 10 for number, wanted in zip(chosen, (0, 21, 500, 998), strict=True)] == [True] * 4


def test_not_always_the_same_text_is_drawn_for_a_length() -> None:
    assert len(set(resample([10] * 20, [10] * 200, random.Random(1)))) > 1


def test_fewer_texts_than_are_drawn_from_do() -> None:
    assert set(resample([5, 7], [1, 6, 100], random.Random(1))) <= {0, 1}


def test_examples_stand_in_for_comments_with_the_same_lengths(tmp_path: Path) -> None:
    texts = real_texts(2_000, BUNDLE, data=tmp_path / "none")
    lengths = [sum(map(len, windows)) for windows in windows_of(texts.texts, BUNDLE)]
    assert texts.source.startswith("examples")
    assert np.quantile(lengths, [0.25, 0.5, 0.75]) == pytest.approx([13, 21, 34], abs=4)
    assert texts == real_texts(2_000, BUNDLE, data=tmp_path / "none")


def test_the_model_alone_gets_every_window_once_in_batches_within_the_budget() -> None:
    windows = [np.full(length, length, np.uint16) for length in (5, 3, 40, 4, 3, 20)]
    made = list(batches(windows, 20, pad_id=1))
    assert [feed["input_ids"].shape for feed in made] == [(4, 5), (1, 20), (1, 40)]
    assert sum(int(feed["attention_mask"].sum()) for feed in made) == sum(map(len, windows))
    assert made[0]["input_ids"][0].tolist() == [3, 3, 3, 1, 1]


def test_layouts_use_all_cores_one_way_or_the_other() -> None:
    assert {one.runs * one.threads for one in layouts(8)} == {8}
