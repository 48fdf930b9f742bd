"""Texts for a teacher alone: what they are put together from, and that they claim no label."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from tests.training.test_finetune import run
from training.made import load_made
from training.splice import with_spliced
from training.windows import Windows

ROOM = 12


def rows(**sizes: int) -> Windows:
    """Rows of ten tokens, each row its own; those of the set `mixed` were put together from several."""
    sets = ["" if name == "mixed" else name for name, size in sizes.items() for _ in range(size)]
    ids = [[0, *range(100 * row + 10, 100 * row + 20), 2] for row in range(len(sets))]
    return Windows(ids, np.zeros((len(sets), 2), np.float32), ("bad", "worse"), sets)


def parts(ids: list[int]) -> list[int]:
    """From which rows the tokens come."""
    return [token // 100 for token in ids[1:-1]]


def test_each_is_the_beginning_of_one_row_and_the_end_of_another_of_its_set_and_claims_nothing() -> None:
    before = rows(a=3, b=4, mixed=2)
    found = with_spliced(before, 200, tokens_max=2 * ROOM, seed=1)
    assert found.ids[:9] == before.ids
    assert np.isnan(found.labels[9:]).all()
    assert found.sets[9:] == [""] * 200
    of_two = [ids for ids in found.ids[9:] if len(set(parts(ids))) == 2]
    assert len(of_two) > 50
    for ids in of_two:
        first, second = parts(ids)[0], parts(ids)[-1]
        head = parts(ids).count(first)
        assert ids[: head + 1] == before.ids[first][: head + 1]
        assert ids[head + 1 :] == before.ids[second][head - len(ids) + 1 :]
        assert before.sets[first] == before.sets[second] != ""


def test_none_is_longer_than_a_window_and_each_keeps_its_frame() -> None:
    made = with_spliced(rows(a=5), 50, ROOM, seed=1).ids[5:]
    assert max(len(ids) for ids in made) == ROOM
    assert {(ids[0], ids[-1]) for ids in made} == {(0, 2)}


def test_a_small_set_is_not_crowded_out() -> None:
    before = rows(large=900, small=9)
    made = with_spliced(before, 1100, ROOM, seed=1).ids[909:]
    small = sum(parts(ids)[:1] > [899] for ids in made)
    assert 60 < small < 140  # a tenth of the large one's, though it is a hundredth of its size


def test_the_seed_decides_and_none_are_made_where_none_are_asked_for() -> None:
    before = rows(a=5, b=5)
    assert with_spliced(before, 9, ROOM, seed=1).ids == with_spliced(before, 9, ROOM, seed=1).ids
    assert with_spliced(before, 9, ROOM, seed=1).ids != with_spliced(before, 9, ROOM, seed=2).ids
    assert with_spliced(before, 0, ROOM, seed=1) is before
    assert with_spliced(rows(mixed=3), 9, ROOM, seed=1).ids == rows(mixed=3).ids


def test_a_run_learns_from_them_by_its_teacher_and_is_refused_without_one(base: Path, tmp_path: Path) -> None:
    run(tmp_path, base, "teacher")
    taught: dict[str, Any] = {"teachers": [tmp_path / "teacher"]}
    run(tmp_path, base, "plain", **taught)
    run(tmp_path, base, "spliced", spliced_rows=7, **taught)
    made = [load_made(tmp_path / name) for name in ("plain", "spliced")]
    plain, spliced = (one.rows for one in made if one)
    assert spliced == plain + 7
    with pytest.raises(ConfigurationError, match="need a teacher"):
        run(tmp_path, base, "alone", spliced_rows=7)
