"""Chunks under way: whichever thread finishes one, no offset beyond undelivered work is committed."""

import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from schemas.errors import TransientError
from workers.attempts import Marker, load_marker
from workers.under_way import Chunk, Offsets, UnderWay, ends

P, Q = TopicPartition("work", 0), TopicPartition("work", 1)


def record(place: TopicPartition, offset: int) -> Any:
    return SimpleNamespace(topic=place.topic, partition=place.partition, offset=offset)


def chunk(*records: Any, error: Exception | None = None) -> Chunk:
    future: Future[Any] = Future()
    future.set_exception(error) if error else future.set_result([])
    return Chunk(records, future)


def under_way(*chunks: Chunk) -> tuple[UnderWay, list[Chunk]]:
    """Some chunks, and those that have been delivered."""
    delivered: list[Chunk] = []
    found = UnderWay(delivered.append)
    for one in chunks:
        found.add(one)
    return found, delivered


def test_the_oldest_is_delivered_first_and_what_follows_stays_marked() -> None:
    first, second = chunk(record(P, 0), record(P, 1), record(Q, 7)), chunk(record(P, 2), record(P, 3))
    found, delivered = under_way(first, second)
    assert found.settle() == {P: (2, Marker(4).dump()), Q: (8, "")}
    assert delivered == [first]
    assert found.settle() == {P: (4, "")}
    assert (delivered, found.settle(), len(found)) == ([first, second], {}, 0)


def test_all_of_them_are_one_commit() -> None:
    found, delivered = under_way(chunk(record(P, 0)), chunk(record(P, 1)), chunk(record(Q, 0)))
    assert found.settle_all() == {P: (2, ""), Q: (1, "")}
    assert len(delivered) == 3


def test_a_new_chunk_is_marked_from_where_all_that_is_under_way_begins() -> None:
    found, _ = under_way(chunk(record(P, 3), record(P, 4)))
    assert found.marks([record(P, 5), record(Q, 0)]) == {P: (3, Marker(6).dump()), Q: (0, Marker(1).dump())}


def test_what_cannot_be_delivered_stays() -> None:
    def refuse(_: Chunk) -> None:
        raise TransientError("not confirmed")

    found = UnderWay(refuse)
    found.add(chunk(record(P, 0)))
    for settle in (found.settle, found.settle_all):
        with pytest.raises(TransientError):
            settle()
    assert len(found) == 1


def test_only_partitions_of_a_chunk_whose_scorer_raised_keep_their_marks() -> None:
    found, _ = under_way(chunk(record(P, 0), error=ZeroDivisionError()), chunk(record(P, 1), record(Q, 5)), chunk(record(Q, 6)))
    assert found.blameless() == {Q: (5, "")}


def test_two_threads_deliver_a_chunk_once_and_the_second_one_waits_for_it() -> None:
    began, go_on = threading.Event(), threading.Event()
    delivered: list[Chunk] = []

    def deliver(one: Chunk) -> None:
        began.set()
        assert go_on.wait(30)
        delivered.append(one)

    found = UnderWay(deliver)
    first, second = chunk(record(P, 0)), chunk(record(P, 1))
    found.add(first)
    found.add(second)
    commits: list[Offsets] = []
    ours = threading.Thread(target=lambda: commits.append(found.settle()))
    ours.start()
    assert began.wait(30)
    theirs = threading.Thread(target=lambda: commits.append(found.settle_all()))
    theirs.start()
    assert not commits
    go_on.set()
    ours.join(30)
    theirs.join(30)
    assert delivered == [first, second]
    assert commits == [{P: (1, Marker(2).dump())}, {P: (2, "")}]


ADD = st.tuples(st.just("add"), st.lists(st.sampled_from([P, Q]), min_size=1, max_size=3))
OTHER = st.tuples(st.sampled_from(["settle", "settle_all", "marks"]), st.just([]))


@given(st.lists(ADD | OTHER, max_size=30))
def test_no_offset_is_ever_beyond_what_is_not_delivered(steps: list[tuple[str, list[TopicPartition]]]) -> None:
    """A commit may arrive late, but what was right when it was made is right later, for what is delivered stays so."""
    found, delivered = under_way()
    taken = {P: 0, Q: 0}
    for step, places in steps:
        if step == "add":
            for place in places:
                offsets = found.marks([record(place, taken[place])])
                found.add(chunk(record(place, taken[place])))
                taken[place] += 1
        elif step == "marks":
            offsets = found.marks([record(P, taken[P])])
        else:
            offsets = getattr(found, step)()
        done = ends([one for part in delivered for one in part.records])
        for place, (offset, metadata) in offsets.items():
            assert offset == done.get(place, 0)
            marker = load_marker(metadata, offset)
            assert (marker.until if marker else offset) >= taken[place], "what is taken and not delivered is marked"
