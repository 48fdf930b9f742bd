"""Replays of dead letters: chosen, published once, noted, found again where they broke off, and their tries counted on."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka.errors import KafkaTimeoutError
from typer.testing import CliRunner, Result

from pipeline import dead_letter_box, exits
from pipeline.cli.main import app
from pipeline.dead_letter_box import Filed, read_dead_letters, replay, replayed_places
from pipeline.dead_letter_choice import Choice, Replayable, tenant_of
from pipeline.preprocess.decode import Accepted, JobRecord, decode
from pipeline.replay_headers import ATTEMPTS, JOB_ID, REPLAY_OF, given_job_id, place_name, tried_before
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.dead_letters import DeadLetter, Original, RawBytes, Replay
from schemas.errors import ConfigurationError, MessageError, TransientError
from schemas.work import Source
from tests.support.fake_kafka import FakeKafka, FakeRecord
from tests.support.records import job_record, toy_stage, work_batches
from tests.support.work import ToyWorker
from workers.loop import decode_record

AT = datetime(2026, 11, 24, 8, tzinfo=UTC)
JOBS, DEAD, REPLAYS = "llmos.jobs", "llmos.dead-letters", "llmos.replays"
SETTINGS = Settings(kafka_bootstrap="broker:9092")


def letter(value: bytes | None = b'{"job_id":"a","text":"hello"}', **fields: Any) -> DeadLetter:
    """A dead letter of preprocess with that original, and with these fields."""
    given = {
        "job_id": "a",
        "code": Code.UNKNOWN_TENANT,
        "stage": "preprocess",
        "reason": "the tenant has no policy",
        "source": Source(topic=JOBS, partition=0, offset=5),
        "original": Original(key=RawBytes.of(b"k"), value=None if value is None else RawBytes.of(value)),
        "attempts": 1,
        "versions": {},
        "failed_at": AT,
    }
    return DeadLetter(**(given | fields))


class Box:
    """The topics of an installation, and dead letters in them."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka

    def bury(self, *letters: DeadLetter) -> list[Filed]:
        for one in letters:
            self.kafka.append(DEAD, one.model_dump_json().encode())
        return list(read_dead_letters(SETTINGS))[-len(letters) :]

    @property
    def published(self) -> list[FakeRecord]:
        return self.kafka.records(JOBS)

    @property
    def notes(self) -> list[Replay]:
        return [Replay.model_validate_json(value) for value in self.kafka.values(REPLAYS)]

    def break_off_at(self, send: int) -> None:
        """The broker goes away with that record that is sent, counted from 1."""
        sent: list[str] = []

        def away(name: str) -> None:
            if name == "send":
                sent.append(name)
                if len(sent) >= send:
                    raise KafkaTimeoutError("away")

        self.kafka.step = away

    def come_back(self) -> None:
        self.kafka.step = lambda _: None

    def replay_what_is_new(self, **options: Any) -> list[str]:
        """As the command does it: the names of what was replayed."""
        letters = Replayable(
            found=read_dead_letters(SETTINGS), choice=Choice(), before=replayed_places(SETTINGS), edited=False, **options
        )
        return [filed.name for filed in replay(SETTINGS, letters)]


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    kafka = FakeKafka(**{JOBS: 1, DEAD: 1, REPLAYS: 1, "llmos.work.toy": 1})
    kafka.now_ms = int(datetime.now(UTC).timestamp() * 1000)
    kafka.install(monkeypatch)
    return Box(kafka)


def test_a_replay_publishes_the_original_between_two_notes(box: Box) -> None:
    order: list[str] = []
    (filed,) = box.bury(letter())
    box.kafka.step = lambda name: order.append(name) if name == "send" else None
    assert list(replay(SETTINGS, [filed])) == [filed]
    (record,) = box.published
    assert (record.key, record.value) == (b"k", b'{"job_id":"a","text":"hello"}')
    assert [note.state for note in box.notes] == ["begun", "published"]
    assert {(note.job_id, note.dead_letter, note.published_to, note.edited) for note in box.notes} == {
        ("a", filed.place, JOBS, False)
    }
    assert len(order) == 3


def test_what_was_replayed_is_not_replayed_again(box: Box) -> None:
    box.bury(letter(), letter(job_id="b"))
    assert box.replay_what_is_new() == ["0:0", "0:1"]
    assert box.replay_what_is_new() == []
    assert len(box.published) == 2


@pytest.mark.parametrize("send", range(1, 10))
def test_a_replay_that_breaks_off_anywhere_is_finished_by_the_next_and_nothing_is_published_twice(box: Box, send: int) -> None:
    """Three letters are nine records: three notes, three originals, three notes."""
    box.bury(letter(), letter(job_id="b"), letter(job_id="c"))
    box.break_off_at(send)
    with pytest.raises(TransientError, match=r"not replayed: .*away"):
        box.replay_what_is_new()
    box.come_back()
    box.replay_what_is_new()
    assert box.replay_what_is_new() == []
    assert sorted(dict(record.headers)[REPLAY_OF].decode() for record in box.published) == [f"{DEAD}/0/{n}" for n in range(3)]
    assert len(replayed_places(SETTINGS)) == 3


def test_a_record_in_doubt_that_may_not_be_looked_for_is_published_again(box: Box) -> None:
    """At least once: the job's id makes the second one harmless."""
    box.bury(letter())
    box.break_off_at(3)
    with pytest.raises(TransientError):
        box.replay_what_is_new()
    box.come_back()
    refused = box.kafka.topics.pop(JOBS)
    assert replayed_places(SETTINGS) == set()
    box.kafka.topics[JOBS] = refused
    box.kafka.topics[JOBS][0].clear()
    assert box.replay_what_is_new() == ["0:0"]


def test_looking_what_would_be_replayed_writes_nothing(box: Box) -> None:
    box.bury(letter())
    box.break_off_at(3)
    with pytest.raises(TransientError):
        box.replay_what_is_new()
    box.come_back()
    before = len(box.notes)
    assert replayed_places(SETTINGS, finish=False) == {f"{DEAD}/0/0"}
    assert len(box.notes) == before


def test_large_batches_are_cut_so_that_little_is_in_doubt(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_box, "_BATCH_LETTERS", 2)
    box.bury(*(letter(job_id=str(number)) for number in range(5)))
    assert len(box.replay_what_is_new()) == 5
    assert [note.state for note in box.notes] == ["begun", "begun", "published", "published"] * 2 + ["begun", "published"]


@pytest.mark.parametrize(
    ("buried", "reason"),
    [(letter(None), "holds no original"), (letter(original=Original(value=RawBytes.of(b"x" * 10, 5))), "only a part")],
)
def test_a_letter_without_its_whole_original_is_refused_when_named_and_passed_over_otherwise(
    box: Box, buried: DeadLetter, reason: str
) -> None:
    found = box.bury(buried, letter(job_id="whole"))
    named = Replayable(found=found, choice=Choice(names=["0:0"]), before=(), edited=False)
    with pytest.raises(ConfigurationError, match=reason):
        list(named)
    everything = Replayable(found=found, choice=Choice(), before=(), edited=False)
    assert [filed.letter.job_id for filed in everything] == ["whole"]
    assert (everything.chosen, everything.skipped) == (2, 0)
    assert reason in everything.unreplayable[0]


def test_a_cut_original_can_be_replayed_where_it_is_edited(box: Box) -> None:
    (filed,) = box.bury(letter(original=Original(value=RawBytes.of(b"x" * 10, 5))))
    assert list(Replayable(found=[filed], choice=Choice(), before=(), edited=True)) == [filed]
    list(replay(SETTINGS, [filed], lambda _: b'{"text":"mended"}'))
    assert box.published[0].value == b'{"text":"mended"}'
    assert {note.edited for note in box.notes} == {True}


def test_a_work_record_goes_back_to_its_work_topic(box: Box) -> None:
    source = Source(topic="llmos.work.toy", partition=0, offset=1)
    box.bury(letter(b"LLMW", job_id=None, stage="worker", source=source, code=Code.WORK_CORRUPT))
    box.replay_what_is_new()
    assert box.published == []
    (record,) = box.kafka.records("llmos.work.toy")
    assert [name for name, _ in record.headers] == [REPLAY_OF, ATTEMPTS]


def llmos(*options: str) -> Result:
    """`llmos dead-letters replay` with these options."""
    return CliRunner().invoke(app, ["dead-letters", "replay", *options], env={"LLMOS_KAFKA_BOOTSTRAP": "broker:9092"})


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--tenant", "shop"), exits.OK, "1 replayed, 0 skipped"),
        (("--code", "no_route"), exits.INCOMPLETE, "0 replayed, 0 skipped"),
        (("--since", "2026-11-24T08:00:00Z", "--until", "2026-11-24T08:00:01Z"), exits.INCOMPLETE, "1 cannot be replayed"),
        (("--until", "1h", "--dry-run"), exits.INCOMPLETE, "would replay 0:0 unknown_tenant a"),
        (("--until", "soon"), exits.CONFIGURATION, "--until 'soon' is neither"),
        (("--all",), exits.INCOMPLETE, "dead letter 0:1 holds no original"),
        (("0:1",), exits.CONFIGURATION, "holds no original"),
        (("nobody",), exits.CONFIGURATION, "no dead letter is called nobody"),
        ((), exits.CONFIGURATION, "say which"),
    ],
)
def test_the_command_says_what_it_did_and_what_it_could_not(box: Box, options: tuple[str, ...], code: int, said: str) -> None:
    box.bury(letter(b'{"text":"hello","tenant":"shop"}'), letter(None))
    done = llmos(*options)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert len(box.published) == ("1 replayed" in done.output)


FILED = Filed(Source(topic=DEAD, partition=3, offset=17), letter(b'{"text":"hello","tenant":"shop"}'))


@pytest.mark.parametrize(
    ("choice", "fits"),
    [
        (Choice(), True),
        (Choice(names=["3:17"]), True),
        (Choice(names=["9:9", "a"]), True),
        (Choice(names=["3:1"]), False),
        (Choice(code=Code.UNKNOWN_TENANT), True),
        (Choice(code=Code.NO_ROUTE), False),
        (Choice(since=AT), True),
        (Choice(since=AT + timedelta(seconds=1)), False),
        (Choice(until=AT), False),
        (Choice(until=AT + timedelta(seconds=1)), True),
        (Choice(tenant="shop"), True),
        (Choice(tenant="default"), False),
        (Choice(names=["a"], code=Code.NO_ROUTE), False),
        (Choice(since=AT, until=AT + timedelta(1), tenant="shop", code=Code.UNKNOWN_TENANT, names=["a"]), True),
    ],
)
def test_a_letter_is_chosen_where_every_condition_holds(choice: Choice, *, fits: bool) -> None:
    assert choice.fits(FILED) is fits
    assert choice.chooses is (choice != Choice())


@pytest.mark.parametrize(
    ("value", "tenant"),
    [
        (b'{"text":"hello"}', "default"),
        (b'{"tenant":7}', None),
        (b'[{"tenant":"shop"}]', None),
        (b'{"tenant":"sh', None),
        (b"\xff", None),
        (None, None),
    ],
)
def test_a_tenant_is_known_where_the_original_is_a_job(value: bytes | None, tenant: str | None) -> None:
    assert tenant_of(letter(value)) == tenant


def decoded(record: FakeRecord) -> Any:
    (outcome,) = decode(job_record(record.value, headers=record.headers, offset=record.offset), 1 << 20)
    return outcome


def replayed(box: Box, *letters: DeadLetter, edit: Callable[[bytes], bytes] | None = None) -> Iterator[FakeRecord]:
    before = len(box.published)
    list(replay(SETTINGS, box.bury(*letters), edit))
    yield from box.published[before:]


def test_the_third_death_of_a_job_says_so(box: Box, toy_settings: Settings) -> None:
    stage = toy_stage(toy_settings)
    record: JobRecord = job_record({"job_id": "a", "text": "hello", "tenant": "nobody"}, headers=(("trace", b"1"),))
    for attempts in (1, 2, 3):
        (out,) = stage.run([record])
        died = DeadLetter.model_validate_json(out.value)
        assert (died.attempts, died.job_id) == (attempts, "a")
        (again,) = replayed(box, died)
        assert [name for name, _ in again.headers] == ["trace", REPLAY_OF, ATTEMPTS, JOB_ID]
        assert dict(again.headers)[REPLAY_OF] == f"{DEAD}/0/{attempts - 1}".encode()
        record = job_record(again.value, headers=again.headers)


def test_tries_of_both_stages_and_of_all_replays_are_counted_together(box: Box, toy_settings: Settings) -> None:
    worker, error = ToyWorker(toy_settings), MessageError(Code.WORKER_CRASHED, "the worker died 3 times on this text alone")
    (record,) = replayed(box, letter(attempts=2))
    (batch,) = work_batches(toy_stage(toy_settings).run([job_record(record.value, headers=record.headers)]))
    (out,) = worker.recorder.bury(batch.description.items[0], error, 3)
    assert DeadLetter.model_validate_json(out.value).attempts == 2 + 3


def test_a_damaged_work_record_that_comes_back_counts_its_tries(box: Box, toy_settings: Settings) -> None:
    source = Source(topic="llmos.work.toy", partition=0, offset=1)
    box.bury(letter(b"LLMW", job_id=None, stage="worker", source=source, attempts=4))
    box.replay_what_is_new()
    (record,) = box.kafka.records("llmos.work.toy")
    (out,) = ToyWorker(toy_settings).scorer.score([decode_record(record)])
    assert DeadLetter.model_validate_json(out.value).attempts == 5


def test_a_job_without_an_id_keeps_the_one_it_was_given(box: Box) -> None:
    first, second = (decoded(record) for _ in range(2) for record in replayed(box, letter(b'{"text":"hello"}', job_id="given")))
    assert isinstance(first, Accepted)
    assert (first.job.job_id, second.job.job_id) == ("given", "given")


def test_what_never_had_an_id_gets_one_from_its_letter_so_that_two_replays_are_one_job(box: Box) -> None:
    (filed,) = box.bury(letter(b'{"txt":"hello"}', job_id=None))
    for _ in range(2):
        list(replay(SETTINGS, [filed], lambda _: b'{"text":"hello"}'))
    first, second = (decoded(record) for record in box.published)
    assert first.job.job_id == second.job.job_id


def test_an_array_put_in_place_of_a_job_gets_ids_of_its_own(box: Box) -> None:
    (record,) = replayed(box, letter(), edit=lambda _: b'[{"text":"a"},{"text":"b"}]')
    jobs = list(decode(job_record(record.value, headers=record.headers), 1 << 20))
    assert all(isinstance(job, Accepted) and job.job.job_id != "a" and job.tried == 1 for job in jobs)


@pytest.mark.parametrize(
    ("value", "tried"),
    [
        (b"3", 3),
        (b"0", 0),
        (b"-1", 0),
        (b"", 0),
        (b"many", 0),
        (b"9999999", 1_000_000),
        (b"9" * 5_000, 0),
        (None, 0),
        (b"\xb2", 0),
    ],
)
def test_a_header_that_counts_is_believed_within_reason(value: bytes | None, tried: int) -> None:
    assert tried_before(((ATTEMPTS, b"7"), (ATTEMPTS, value))) == tried
    assert tried_before(()) == 0


@pytest.mark.parametrize(
    ("value", "job_id"), [(b"a", "a"), ("é".encode(), "é"), (b"", None), (b"\xff", None), (b"a" * 257, None), (None, None)]
)
def test_a_header_that_names_a_job_is_believed_within_reason(value: bytes | None, job_id: str | None) -> None:
    assert given_job_id(((JOB_ID, value),)) == job_id


def test_a_place_has_one_name() -> None:
    assert place_name(FILED.place) == "llmos.dead-letters/3/17"
    assert FILED.name == "3:17"
