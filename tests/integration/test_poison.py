"""Poison of every kind: it ends in the dead letters, or is scored, and its neighbours never notice."""

import random
import string
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from pipeline.publish import JobPublisher
from pipeline.read import Reader
from pipeline.topics import work_topics
from schemas.codes import Code, Verdict
from schemas.jobs import TEXT_BYTES_MAX, TextJob
from schemas.work import WorkDescription, pack, unpack
from tests.support.ledger import Ledger, raw_producer
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

DEADLY = "detonate"
"""A text with this word kills the worker."""


@pytest.fixture(scope="module")
def stages(place: Installation) -> tuple[Stage, Stage]:
    """One preprocess app, and a worker that dies of some texts."""
    return place.start_both(LLMOS_TEST_FAULTS=f"crash:{DEADLY}")


@pytest.mark.parametrize(
    ("name", "text", "verdict"),
    [
        ("nul", "you id\0iot", Verdict.BLOCK),
        ("zero width", "you i\u200bd\u200biot", Verdict.BLOCK),
        ("right to left", "you \u202eidiot\u202c", Verdict.BLOCK),
        ("combining marks", "hello " + "a" + "\u0301" * 10_000 + " idiot", Verdict.BLOCK),
        ("one character", "a" * TEXT_BYTES_MAX, Verdict.ALLOW),
        ("emoji", "\U0001f600" * 5_000, Verdict.ALLOW),
        ("private use", "\ue000\uf8ff idiot", Verdict.BLOCK),
        ("no characters", "\uffff\ufdd0 idiot", Verdict.BLOCK),
    ],
)
def test_odd_texts_are_scored(
    place: Installation, ledger: Ledger, stages: object, name: str, text: str, verdict: Verdict
) -> None:
    with JobPublisher(place.settings) as publisher:
        publisher.publish(TextJob(job_id=name, text=text))
    ledger.wait_for([name])
    assert not ledger.dead
    assert ledger.result_of(name)["verdict"] == verdict


def test_huge_numbers_in_metadata_come_back_as_they_are(place: Installation, ledger: Ledger, stages: object) -> None:
    metadata: dict[str, Any] = {"whole": 10**400, "negative": -(10**40), "float": 1.5e308}
    with JobPublisher(place.settings) as publisher:
        publisher.publish(TextJob(job_id="numbers", text="hello", metadata=metadata))
    ledger.wait_for(["numbers"])
    assert ledger.result_of("numbers")["metadata"] == metadata


def test_a_dead_letter_keeps_key_and_headers_however_odd(place: Installation, ledger: Ledger, stages: object) -> None:
    headers = [("twice", b"1"), ("twice", b"\xff"), ("empty", b"")]
    with raw_producer(place.settings) as producer:
        for value in (b"no job", None):
            producer.send(place.settings.jobs_topic, value, key=b"\x00key", headers=headers)
    ledger.wait_for_dead(2)
    for letter in ledger.dead:
        assert letter.original.key is not None
        assert letter.original.key.to_bytes() == b"\x00key"
        assert [(one.name, one.value and one.value.to_bytes()) for one in letter.original.headers] == headers
    assert ledger.codes == {Code.MALFORMED_JSON: 1, Code.EMPTY_RECORD: 1}


def test_a_record_just_below_the_limit_passes_and_one_above_is_refused(
    place: Installation, ledger: Ledger, stages: object
) -> None:
    # No compression helps with these; and their words are long, so that they stay below the ceiling of tokens.
    dice = random.Random(1)
    below = bulk("below", [" ".join("".join(dice.choices(string.ascii_letters, k=1_000)) for _ in range(1_040))] * 7)
    # These compress so well that the broker takes them for small.
    above = bulk("above", [("a" * 1_000 + " ") * 1_040] * 9)
    assert len(below) < place.settings.record_bytes_max < len(above)
    with raw_producer(place.settings) as producer:
        producer.send(place.settings.jobs_topic, below)
        producer.send(place.settings.jobs_topic, above)
    ledger.wait_for([f"below-{number}" for number in range(7)])
    ledger.wait_for_dead(1)
    (letter,) = ledger.dead
    assert letter.code == Code.RECORD_TOO_LARGE
    assert letter.original.value is not None
    assert letter.original.value.bytes_total == len(above)
    assert not letter.original.value.complete


def bulk(name: str, texts: list[str]) -> bytes:
    """A record of several jobs."""
    jobs = [TextJob(job_id=f"{name}-{number}", text=text).model_dump_json() for number, text in enumerate(texts)]
    return f"[{','.join(jobs)}]".encode()


@pytest.fixture
def work_record(place: Installation, ledger: Ledger, stages: object) -> bytes:
    """A whole work batch, as preprocess wrote it."""
    (topic,) = work_topics(place.settings).values()
    with Reader(place.settings, [topic]) as reader:
        reader.seek_end()
        with JobPublisher(place.settings) as publisher:
            publisher.publish_many(TextJob(job_id=f"whole-{number}", text="you idiot") for number in range(3))
        ledger.wait_for([f"whole-{number}" for number in range(3)])
        return bytes(wait_until(reader.poll, "the work batch")[-1].value)


def damaged(record: bytes) -> Iterator[tuple[bytes | None, Code]]:
    """Work records that cannot be taken apart, and their codes."""
    yield from ((record[:length], Code.WORK_CORRUPT) for length in (1, 59, 60, len(record) // 2, len(record) - 1))
    for place in (0, 5, 6, 9, 20, 30, 57, 61, 70, len(record) - 1):
        flipped = bytearray(record)
        flipped[place] ^= 4
        yield bytes(flipped), Code.WORK_CORRUPT
    yield record[:4] + b"\x02" + record[5:], Code.UNSUPPORTED_VERSION
    yield from ((value, Code.WORK_CORRUPT) for value in (None, b"", record + b"\0", record * 2, b'{"text": "hello"}'))


def test_damaged_work_records_are_buried_whole_and_stop_nothing(place: Installation, ledger: Ledger, work_record: bytes) -> None:
    poison = list(damaged(work_record))
    (topic,) = work_topics(place.settings).values()
    with raw_producer(place.settings) as producer:
        sent = [producer.send(topic, value, key=b"x", partition=0).get(10) for value, _ in poison]
        producer.send(topic, work_record, partition=0)
    ledger.wait_for_dead(len(poison))
    ledger.settle()
    by_offset = {letter.source.offset: letter for letter in ledger.dead}
    for (value, code), metadata in zip(poison, sent, strict=True):
        letter = by_offset[metadata.offset]
        assert (letter.code, letter.job_id, letter.source.topic) == (code, None, topic)
        assert letter.original.value is not None
        assert letter.original.value.to_bytes() == (value or b"")
    assert len(ledger.dead) == len(poison)
    assert all(len(found) == 2 for found in ledger.results.values()), "the whole record behind them was scored once more"


def remade(record: bytes, *, tokenizer_sha256: str = "", token: int | None = None) -> tuple[bytes, list[str]]:
    """A whole batch that says something else, and the ids of its jobs."""
    batch = unpack(record)
    items = tuple(
        item.model_copy(update={"job": item.job.model_copy(update={"job_id": f"remade-{token}-{number}"})})
        for number, item in enumerate(batch.description.items)
    )
    windows = [[np.array([0, 4 if token is None else token, 2], batch.tokens.dtype)] for _ in items]
    description = WorkDescription(packed_ms=batch.description.packed_ms, items=items)
    return pack(tokenizer_sha256 or batch.tokenizer_sha256, description, windows), [item.job.job_id for item in items]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"token": 60_000}, Code.WORK_CORRUPT), ({"tokenizer_sha256": "0" * 64}, Code.TOKENIZER_MISMATCH)],
)
def test_jobs_of_a_batch_that_the_model_cannot_read_are_buried_one_by_one(
    place: Installation, ledger: Ledger, work_record: bytes, changes: dict[str, Any], code: Code
) -> None:
    value, ids = remade(work_record, **changes)
    (topic,) = work_topics(place.settings).values()
    with raw_producer(place.settings) as producer:
        producer.send(topic, value)
    ledger.wait_for(ids)
    assert [ledger.dead_of(job_id).code for job_id in ids] == [code] * len(ids)
    originals = [ledger.dead_of(job_id).original.value for job_id in ids]
    assert [TextJob.model_validate_json(value.to_bytes()).job_id for value in originals if value] == ids


def test_a_text_that_kills_the_worker_is_buried_after_three_tries_and_alone(
    place: Installation, ledger: Ledger, stages: tuple[Stage, Stage]
) -> None:
    _, worker = stages
    neighbours = [TextJob(job_id=f"neighbour-{number}", text="you idiot") for number in range(40)]
    deadly = TextJob(job_id="deadly", text=f"hello {DEADLY}")
    with JobPublisher(place.settings) as publisher:
        publisher.publish_many([*neighbours[:20], deadly, *neighbours[20:]])
    deaths = 0

    def all_done() -> bool:
        nonlocal deaths
        if not worker.alive:
            deaths += 1
            worker.launch()
        ledger.poll()
        return len(ledger.ids) == len(neighbours) + 1

    wait_until(all_done, lambda: f"outcomes after {deaths} deaths: {len(ledger.ids)}\n{worker.log}", 90)
    ledger.settle()
    letter = ledger.dead_of("deadly")
    assert (letter.code, letter.attempts, ledger.codes.total()) == (Code.WORKER_CRASHED, 3, 1)
    assert {job_id: len(found) for job_id, found in ledger.results.items()} == {job.job_id: 1 for job in neighbours}
    assert deaths == 5, "once in company, once in its record, three times alone"
    assert worker.alive
