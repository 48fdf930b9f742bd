"""The collector still finds what refers to itself, and leaves alone what was there before."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from pipeline.garbage import NEW_OBJECTS, collect_seldom


class _Ring:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_refers_to_itself_is_found_once_there_are_many() -> None:
    collect_seldom()
    first = weakref.ref(_Ring())
    assert first() is not None

    rings = [_Ring() for _ in range(2 * NEW_OBJECTS)]

    assert len(rings) > NEW_OBJECTS
    assert first() is None


def test_what_was_there_is_not_looked_at() -> None:
    kept = [_Ring()]
    collect_seldom()
    assert not any(kept is found for found in gc.get_objects())
    assert gc.get_freeze_count() > 0
