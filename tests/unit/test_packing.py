"""Rows to records: each row once, short beside short, and no record larger than it may be."""

from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.preprocess.packing import DESCRIPTION_BYTES_MAX, JOBS_MAX, longest_window, pack_rows
from pipeline.preprocess.prepare import Prepared
from schemas.work import WorkBatch, WorkItem, unpack
from tests.support.records import BROKER_MS, NOW_MS, accepted

HASHES = {"a": "aa" * 32, "b": "bb" * 32}


def served(model: str) -> Any:
    """What packing must know of a model: where its work goes, and its tokenizer's checksum."""
    manifest = SimpleNamespace(tokenizer=SimpleNamespace(sha256=HASHES[model]))
    return SimpleNamespace(work_topic=f"llmos.work.{model}", bundle=SimpleNamespace(manifest=manifest))


MODELS = {model: served(model) for model in HASHES}


def row(number: int, lengths: Sequence[int], model: str = "a", text: str = "hello", **fields: Any) -> Prepared:
    """Job `number` with windows of those lengths, filled with its number."""
    job = accepted(text, job_id=f"job-{number}", **fields)
    item = WorkItem(job=job.job, language="en", tokens_total=1, source=job.source, accepted_ms=BROKER_MS, received_ms=BROKER_MS)
    return Prepared(model, item, [np.full(length, number, np.uint16) for length in lengths])


def packed(rows: Sequence[Prepared], tokens_max: int = 100) -> list[tuple[str, WorkBatch]]:
    """(topic, batch) of each record."""
    return [(topic, unpack(record)) for topic, record in pack_rows(rows, MODELS, packed_ms=NOW_MS, tokens_max=tokens_max)]


ROWS = st.lists(st.tuples(st.lists(st.integers(3, 60), min_size=1, max_size=4), st.sampled_from("ab")), max_size=30)


@given(ROWS, st.integers(1, 300))
def test_every_row_is_in_one_record_with_its_own_windows(rows: list[tuple[list[int], str]], tokens_max: int) -> None:
    found: dict[str, tuple[str, list[list[int]]]] = {}
    for topic, batch in packed([row(number, *one) for number, one in enumerate(rows)], tokens_max):
        windows = iter(np.split(batch.tokens, np.cumsum(batch.lengths)[:-1]))
        for item, count in zip(batch.description.items, batch.windows, strict=True):
            assert item.job.job_id not in found
            found[item.job.job_id] = topic, [next(windows).tolist() for _ in range(count)]
    assert found == {
        f"job-{number}": (f"llmos.work.{model}", [[number] * length for length in lengths])
        for number, (lengths, model) in enumerate(rows)
    }


@given(ROWS, st.integers(1, 300))
def test_a_record_keeps_to_the_tokens_or_is_one_job_alone(rows: list[tuple[list[int], str]], tokens_max: int) -> None:
    for _, batch in packed([row(number, *one) for number, one in enumerate(rows)], tokens_max):
        assert len(batch.tokens) <= tokens_max or len(batch.description.items) == 1


@given(ROWS, st.integers(1, 300))
def test_rows_go_from_short_to_long_within_a_model(rows: list[tuple[list[int], str]], tokens_max: int) -> None:
    records = packed([row(number, *one) for number, one in enumerate(rows)], tokens_max)
    for model in "ab":
        ids = [item.job.job_id for topic, batch in records if topic.endswith(model) for item in batch.description.items]
        longest = [max(rows[int(job_id.removeprefix("job-"))][0]) for job_id in ids]
        assert all(before <= after for before, after in pairwise(longest))


def test_a_record_is_filled_before_the_next_begins() -> None:
    assert [len(batch.windows) for _, batch in packed([row(number, [10]) for number in range(25)])] == [10, 10, 5]


def test_a_record_names_its_tokenizer_and_when_it_was_packed() -> None:
    for topic, batch in packed([row(1, [3]), row(2, [3], "b")]):
        assert batch.tokenizer_sha256 == HASHES[topic[-1]]
        assert batch.description.packed_ms == NOW_MS


def test_a_record_holds_so_many_jobs_at_most() -> None:
    records = packed([row(number, [3]) for number in range(JOBS_MAX + 1)], 10**6)
    assert [len(batch.windows) for _, batch in records] == [JOBS_MAX, 1]


@pytest.mark.parametrize("fields", [{"text": "é" * 200_000}, {"metadata": {"a": "b" * 16_000}}], ids=["text", "metadata"])
def test_texts_and_metadata_of_a_record_are_bounded(fields: dict[str, Any]) -> None:
    rows = [row(number, [3], **fields) for number in range(80)]
    size = max(len(record) for _, record in pack_rows(rows, MODELS, packed_ms=NOW_MS, tokens_max=10**6))
    assert DESCRIPTION_BYTES_MAX // 2 < size < 1.2 * DESCRIPTION_BYTES_MAX


def test_the_largest_text_stands_alone() -> None:
    rows = [row(1, [3]), row(2, [3], text="a" * DESCRIPTION_BYTES_MAX), row(3, [3])]
    assert sorted(len(batch.windows) for _, batch in packed(rows)) == [1, 1, 1]


def test_a_row_is_as_long_as_its_longest_window() -> None:
    assert longest_window(row(1, [5, 9, 3])) == 9


def test_nothing_is_packed_of_nothing() -> None:
    assert packed([]) == []
