"""Our own collectors: they say what prometheus_client's would, in any order and from any thread."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from pipeline.collectors import AskedGauge, BatchHistogram
from tests.support.exposition import families

BUCKETS = (0.1, 0.5, 1.0)
VALUES = st.sampled_from([-1.0, 0.0, 0.1, 0.100001, 0.5, 0.7, 1.0, 7.0])
"""Of a few that lie on bounds, between them and beyond them; sums of them are exact enough to be compared."""


def batches(registry: CollectorRegistry) -> BatchHistogram:
    return BatchHistogram("some", "Some.", ["label"], buckets=BUCKETS, registry=registry)


@given(st.lists(st.lists(st.tuples(VALUES, VALUES), max_size=6), max_size=4))
def test_an_array_counts_as_its_values_one_by_one(rows: list[list[tuple[float, float]]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    histogram, reference = batches(ours), Histogram("some", "Some.", ["label"], buckets=BUCKETS, registry=theirs)
    columns, children = histogram.columns(("a",), ("b",)), [reference.labels("a"), reference.labels("b")]
    for batch in rows:
        columns.observe(batch)
        for row in batch:
            for child, value in zip(children, row, strict=True):
                child.observe(value)
    assert told(ours) == pytest.approx(told(theirs))


def told(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Every sample by its name and labels."""
    text = generate_latest(registry).decode()
    samples = [sample for family in families(text) for sample in family.samples if not sample.name.endswith("_created")]
    return {(sample.name, *map(str, sorted(sample.labels.items()))): sample.value for sample in samples}


def test_what_is_no_number_is_passed_over() -> None:
    registry = CollectorRegistry()
    batches(registry).columns(("a",), ("b",)).observe([(0.7, np.nan), (np.inf, 0.2)])
    assert [registry.get_sample_value("some_count", {"label": label}) for label in "ab"] == [1, 1]
    assert [registry.get_sample_value("some_sum", {"label": label}) for label in "ab"] == [0.7, 0.2]


def test_the_same_series_are_counted_in_one_place() -> None:
    registry = CollectorRegistry()
    histogram = batches(registry)
    for _ in range(2):
        histogram.columns(("a",)).observe([0.2])
    assert registry.get_sample_value("some_count", {"label": "a"}) == 2


def test_no_thread_takes_a_count_from_another() -> None:
    registry = CollectorRegistry()
    columns = batches(registry).columns(("a",))
    threads = [threading.Thread(target=lambda: [columns.observe([0.2, 0.7]) for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.get_sample_value("some_count", {"label": "a"}) == 4_000


def test_an_asked_gauge_shows_what_there_is_now_and_no_more() -> None:
    registry = CollectorRegistry()
    gauge = AskedGauge("some", "Some.", ["place"], registry=registry)
    found = {("here",): 3.0, ("there",): 4.0}
    assert b"\nsome{" not in generate_latest(registry), "nobody is asked yet"
    gauge.follow(lambda: found)
    assert values(registry, "here", "there") == [3, 4]
    del found["there",]
    assert values(registry, "here", "there") == [3, None]


def values(registry: CollectorRegistry, *places: str) -> Sequence[float | None]:
    return [registry.get_sample_value("some", {"place": place}) for place in places]
