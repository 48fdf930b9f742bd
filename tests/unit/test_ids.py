"""Job ids: UUID version 7, sortable when made, the same for the same place when derived."""

import time
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import derived_job_id, new_job_id

AT_MS = 1_795_507_200_250
PLACE = ("llmos.jobs", 3, 42, 0)


def milliseconds(job_id: str) -> int:
    """The time in an id."""
    return UUID(job_id).int >> 80


@pytest.mark.parametrize("job_id", [new_job_id(), derived_job_id(AT_MS, *PLACE)])
def test_an_id_is_a_uuid_of_version_7(job_id: str) -> None:
    found = UUID(job_id)
    assert (found.version, found.variant, str(found)) == (7, RFC_4122, job_id)


def test_a_fresh_id_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = milliseconds(new_job_id())
    assert before <= made <= time.time_ns() // 1_000_000


def test_fresh_ids_differ() -> None:
    assert len({new_job_id() for _ in range(10_000)}) == 10_000


def test_ids_made_later_sort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for at_ms in (1, 255, 256, AT_MS, AT_MS + 1, 2**47):
        monkeypatch.setattr(time, "time_ns", lambda at_ms=at_ms: at_ms * 1_000_000)
        made.append(new_job_id())
    assert made == sorted(made)


def test_a_derived_id_is_the_same_for_ever() -> None:
    assert derived_job_id(AT_MS, *PLACE) == "01a20c91-a0fa-7ce1-a443-1a6a8ec9c425"


def test_every_part_of_the_place_counts() -> None:
    places = [PLACE, ("llmos.job", 3, 42, 0), ("llmos.jobs", 34, 2, 0), ("llmos.jobs", 3, 4, 20), ("llmos.jobs", 3, 42, 1)]
    assert len({derived_job_id(AT_MS, *place) for place in places}) == len(places)
    assert derived_job_id(AT_MS, *PLACE)[14:] == derived_job_id(AT_MS + 1, *PLACE)[14:]


@given(
    timestamp_ms=st.integers(-(2**63), 2**63 - 1),
    topic=st.text(),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    index=st.integers(0, 499),
)
def test_any_place_at_any_time_has_an_id(timestamp_ms: int, topic: str, partition: int, offset: int, index: int) -> None:
    job_id = derived_job_id(timestamp_ms, topic, partition, offset, index)
    assert UUID(job_id).version == 7
    if 0 <= timestamp_ms < 2**48:
        assert milliseconds(job_id) == timestamp_ms
