"""Jobs through preprocess and a worker, both real processes: each ends once, where it belongs, as it should."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from pipeline.publish import JobPublisher
from pipeline.read import Reader, ResultReader
from schemas.codes import Code, Verdict
from schemas.jobs import TextJob
from tests.support import malformed
from tests.support.ledger import VARIES, Ledger, end_of, lags, open_ledger, raw_producer, unvarying
from tests.support.processes import Installation, Stage
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

GOOD = 2_000
TEXTS = (
    ("hello friend", Verdict.ALLOW),
    ("you idiot", Verdict.BLOCK),
    ("this is shit", Verdict.REVIEW),
    ("你好", Verdict.ALLOW),
    ("win in the casino", Verdict.REVIEW),
    ("filler " * 150, Verdict.ALLOW),  # three windows
)


@dataclass
class Published:
    """What was sent: the verdict of each good job, the code of each bad one, by id or by place."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    bad_jobs: dict[str, Code] = field(default_factory=dict)
    bad_records: dict[tuple[int, int], Code] = field(default_factory=dict)


@pytest.fixture(scope="module")
def replies(place: Installation) -> str:
    """A reply topic."""
    topic = f"{place.settings.reply_prefix}here"
    place.create_topic(topic)
    return topic


@pytest.fixture(scope="module")
def stages(place: Installation, replies: str) -> tuple[Stage, Stage]:
    """One preprocess app and one worker, ready; started when the reply topic is there, so they know it."""
    return place.start_both()


@pytest.fixture(scope="module")
def outcome(place: Installation, stages: tuple[Stage, Stage]) -> Iterator[tuple[Published, Ledger]]:
    """Two thousand good jobs and every kind of bad one, singly and in bulk, and what came of them."""
    published = Published()
    with open_ledger(place.settings) as ledger:
        _publish_good(place, published)
        _publish_bad(place, published)
        ledger.wait_for(set(published.verdicts) | set(published.bad_jobs))
        ledger.settle()
        yield published, ledger


def _publish_good(place: Installation, published: Published) -> None:
    jobs = []
    for number in range(GOOD):
        text, verdict = TEXTS[number % len(TEXTS)]
        jobs.append(TextJob(job_id=f"good-{number}", text=text, metadata={"number": number}))
        published.verdicts[f"good-{number}"] = verdict
    with JobPublisher(place.settings) as publisher:
        for job in jobs[: GOOD // 2]:
            publisher.publish(job)
        publisher.publish_many(jobs[GOOD // 2 :])


def _publish_bad(place: Installation, published: Published) -> None:
    neighbours = [{"job_id": f"neighbour-{number}", "text": "you idiot"} for number in range(len(malformed.JOBS))]
    singles = [{"job_id": f"single-{name}", **job} for name, job, _ in malformed.JOBS]
    bulk = [{"job_id": f"bulk-{name}", **job} for name, job, _ in malformed.JOBS]
    array = [job for pair in zip(bulk, neighbours, strict=True) for job in pair]
    for name, _, code in malformed.JOBS:
        published.bad_jobs |= {f"single-{name}": code, f"bulk-{name}": code}
    published.verdicts |= {str(job["job_id"]): Verdict.BLOCK for job in neighbours}
    with raw_producer(place.settings) as producer:
        for value in [json.dumps(job).encode() for job in singles] + [json.dumps(array).encode()]:
            producer.send(place.settings.jobs_topic, value)
        for name, value, code in malformed.RECORDS:
            sent = producer.send(place.settings.jobs_topic, value, key=name.encode()).get(10)
            published.bad_records[sent.partition, sent.offset] = code


def test_every_good_job_ends_in_one_result_with_its_verdict(outcome: tuple[Published, Ledger]) -> None:
    published, ledger = outcome
    assert {job_id: found[0]["verdict"] for job_id, found in ledger.results.items()} == published.verdicts
    assert not ledger.repeats()


def test_every_bad_job_ends_in_one_dead_letter_with_its_code(outcome: tuple[Published, Ledger]) -> None:
    published, ledger = outcome
    by_id = {job_id: ledger.dead_of(job_id).code for job_id in published.bad_jobs}
    assert by_id == published.bad_jobs
    by_place = {
        (letter.source.partition, letter.source.offset): letter.code
        for letter in ledger.dead
        if letter.job_id not in published.bad_jobs
    }
    assert by_place == published.bad_records
    assert len(ledger.dead) == len(by_id) + len(by_place), "no dead letter came twice, and none was invented"


def test_the_dead_letter_of_a_job_in_bulk_holds_that_job_alone(outcome: tuple[Published, Ledger]) -> None:
    _, ledger = outcome
    for index, (name, job, _) in enumerate(malformed.JOBS):
        letter = ledger.dead_of(f"bulk-{name}")
        assert letter.source.index == 2 * index, "each stands before its neighbour"
        assert letter.original.value is not None
        assert json.loads(letter.original.value.to_bytes()).items() >= {"job_id": f"bulk-{name}", **job}.items()


def test_the_flagged_topic_holds_exactly_the_flagged(outcome: tuple[Published, Ledger]) -> None:
    published, ledger = outcome
    flagged = {job_id for job_id, verdict in published.verdicts.items() if verdict is not Verdict.ALLOW}
    assert set(ledger.flagged) == flagged
    assert all(ledger.flagged[job_id] == ledger.results[job_id] for job_id in flagged)


def test_every_outcome_is_keyed_by_its_job(outcome: tuple[Published, Ledger]) -> None:
    _, ledger = outcome
    assert all(key == (job_id.encode() if job_id else None) for _, key, job_id in ledger.keys)


def test_what_the_sender_sent_along_comes_back_untouched(outcome: tuple[Published, Ledger]) -> None:
    _, ledger = outcome
    assert all(ledger.result_of(f"good-{number}")["metadata"] == {"number": number} for number in range(GOOD))


def test_no_group_lags_behind_and_the_command_line_says_so(outcome: tuple[Published, Ledger], place: Installation) -> None:
    _, ledger = outcome
    done = place.llmos("topics", "describe", "--json")
    described = json.loads(done.stdout)
    records = {topic["name"]: topic["records"] for topic in described["topics"]}
    assert done.returncode == 0
    assert [group["lag"] for group in described["groups"]] == [0, 0]
    assert all(group["committed"] == end_of(place.settings, group["topic"]) > 0 for group in described["groups"])
    if not place.embedded:  # which counts too few
        assert records[place.settings.results_topic] >= len(ledger.results)


def test_a_stage_that_is_alone_gets_every_partition_at_once(
    place: Installation, stages: tuple[Stage, Stage], outcome: tuple[Published, Ledger]
) -> None:
    for stage in stages:
        assert set(re.findall(r"assigned (\d+) partitions", stage.log)) == {str(place.settings.topic_partitions)}


def test_a_text_scores_the_same_alone_and_in_any_company(
    outcome: tuple[Published, Ledger], place: Installation, ledger: Ledger
) -> None:
    _, among_many = outcome
    with JobPublisher(place.settings) as publisher:
        for number, (text, _) in enumerate(TEXTS):
            publisher.publish(TextJob(job_id=f"alone-{number}", text=text))
            ledger.wait_for([f"alone-{number}"])
    for number in range(GOOD):
        alone = ledger.result_of(f"alone-{number % len(TEXTS)}")
        assert among_many.result_of(f"good-{number}")["labels"] == alone["labels"]


def test_a_job_published_twice_repeats_its_result_and_is_read_once(place: Installation, ledger: Ledger, stages: object) -> None:
    jobs = [TextJob(job_id=f"twice-{number}", text=text) for number, (text, _) in enumerate(TEXTS)]
    with JobPublisher(place.settings) as publisher:
        publisher.publish_many(jobs)
        publisher.flush()
        for job in jobs:
            publisher.publish(job)
    ledger.wait_for([job.job_id for job in jobs])
    ledger.settle()
    for job in jobs:
        first, second = ledger.results[job.job_id]
        assert unvarying(first) == unvarying(second)
        assert set(VARIES) < set(first)
    with ResultReader(place.settings) as reader:
        read = [result.job_id for result in reader.results()]
    assert len(read) == len(set(read))
    assert set(read) >= {job.job_id for job in jobs}


@pytest.mark.parametrize(("job_id", "text"), [("reply-good", "you idiot"), ("reply-bad", " \u200b ")])
def test_a_reply_topic_gets_a_copy_of_the_outcome(
    place: Installation, ledger: Ledger, replies: str, stages: object, job_id: str, text: str
) -> None:
    with JobPublisher(place.settings) as publisher:
        publisher.publish(TextJob.model_construct(job_id=job_id, text=text, reply_to=replies))
    with Reader(place.settings, [replies]) as reader:
        reader.seek_start()
        reply = wait_until(lambda: [record.value for record in reader.poll() if record.key == job_id.encode()], "a reply")[0]
    ledger.wait_for([job_id])
    outcome = ledger.result_of(job_id) if job_id in ledger.results else ledger.dead_of(job_id).model_dump(mode="json")
    assert json.loads(reply) == outcome


def test_a_reply_to_a_missing_topic_is_skipped_without_harm(place: Installation, ledger: Ledger, stages: object) -> None:
    missing = f"{place.settings.reply_prefix}nowhere"
    jobs = [TextJob(job_id=f"noreply-{number}", text="you idiot", reply_to=missing) for number in range(20)]
    with JobPublisher(place.settings) as publisher:
        publisher.publish_many(jobs)
        publisher.publish_raw(b'{"job_id": "noreply-bad", "text": "", "reply_to": "' + missing.encode() + b'"}')
    ledger.wait_for({job.job_id for job in jobs} | {"noreply-bad"}, timeout_s=30)  # not after the minute that a delivery may take
    ledger.settle()
    assert len(ledger.results) == len(jobs)
    assert [lag.behind for lag in lags(place.settings)] == [0, 0]
    assert missing not in place.topics()
