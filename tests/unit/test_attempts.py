"""Markers: what one process tells the next of what it was about to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.attempts import Marker, load_marker, next_try, untried

MARKERS = st.builds(
    Marker, st.integers(1, 2**62), st.sampled_from(["chunk", "record", "job"]), st.integers(0, 511), st.integers(0, 99)
)


@given(MARKERS)
def test_a_marker_comes_back_as_it_was_written(marker: Marker) -> None:
    assert load_marker(marker.dump(), marker.until - 1) == marker


@given(MARKERS)
def test_a_marker_is_short_enough_for_any_broker(marker: Marker) -> None:
    assert len(marker.dump()) <= 80


@given(MARKERS, st.integers(0, 5))
def test_a_marker_whose_records_are_done_says_nothing(marker: Marker, beyond: int) -> None:
    assert load_marker(marker.dump(), marker.until + beyond) is None


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "",
        "consumer-1",
        "null",
        "7",
        '"abcd"',
        "[]",
        "[9]",
        '[9,"chunk",0]',
        '[9,"chunk",0,0,0]',
        '[9,"nothing",0,0]',
        '["9","chunk",0,0]',
        '[9.5,"chunk",0,0]',
        '{"until":9,"level":"chunk","job":0,"tries":0}',
        "[" * 4096,
    ],
)
def test_what_another_program_wrote_is_no_marker(metadata: str | None) -> None:
    assert load_marker(metadata, 0) is None


@pytest.mark.parametrize(
    ("found", "following"),
    [
        (Marker(9), Marker(9, "record")),
        (Marker(9, "record"), Marker(9, "job", 0, 1)),
        (Marker(9, "job", 0, 1), Marker(9, "job", 0, 2)),
        (Marker(9, "job", 4, 3), Marker(9, "job", 4, 4)),
    ],
)
def test_each_death_makes_the_next_try_more_careful(found: Marker, following: Marker) -> None:
    assert next_try(found) == following


@given(MARKERS.filter(lambda marker: marker.level == "record" or (marker.level == "job" and marker.tries > 1)))
def test_a_try_that_did_not_count_is_tried_again_in_the_same_way(marker: Marker) -> None:
    careful = marker if marker.level == "job" else Marker(marker.until, "record")
    assert next_try(untried(careful)) == careful


def test_the_first_try_of_a_lone_job_that_did_not_count_stays_the_first() -> None:
    assert next_try(untried(Marker(9, "job", 3, 1))) == Marker(9, "job", 3, 1)
