"""Canaries through an in-memory Kafka, and what a prober makes of their answers."""

import json
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import pytest
from kafka.errors import TopicAuthorizationFailedError
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from pipeline import prober as module
from pipeline.canary import Answer, Kind
from pipeline.cli.main import app
from pipeline.prober import NOT_SENT, Canaries, Prober, probing
from pipeline.ready import NONE_YET, NOT_UP, Readiness
from pipeline.settings import Settings
from schemas.errors import ConfigurationError, TransientError
from schemas.jobs import TextJob
from tests.support.fake_kafka import FakeKafka
from tests.support.waiting import wait_until

JOBS, REPLIES = "llmos.jobs", "llmos.replies.canary"
BAD, GOOD = "you idiot", "hello friend"


class World:
    """A broker whose jobs get their replies when somebody waits for one, a second later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka = FakeKafka(**{JOBS: 2, REPLIES: 4})
        self.kafka.install(monkeypatch)
        self.kafka.idle = self._idle
        self.replies = {BAD: b'{"verdict":"block"}', GOOD: b'{"verdict":"allow"}'}
        self.now = 0.0
        self._answered: set[str] = set()
        self.settings = Settings(
            kafka_bootstrap="broker:9092", canary_every_s=30, canary_within_s=5, canary_bad_text=BAD, canary_good_text=GOOD
        )

    def _idle(self) -> None:
        self.now += 1.0
        for job in map(TextJob.model_validate_json, self.kafka.values(JOBS)):
            if job.text in self.replies and job.job_id not in self._answered:
                self._answered.add(job.job_id)
                self.kafka.append(REPLIES, self.replies[job.text], job.job_id.encode())

    def ask(self) -> dict[Kind, Answer]:
        """Both answers of one round."""
        with Canaries(self.settings, lambda: self.now) as canaries:
            return {answer.kind: answer for answer in canaries.ask()}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_both_canaries_get_their_answers(world: World) -> None:
    assert world.ask() == {Kind.BAD: Answer(Kind.BAD, "block", 1.0), Kind.GOOD: Answer(Kind.GOOD, "allow", 1.0)}
    assert [len(world.kafka.records(topic)) for topic in (JOBS, REPLIES)] == [2, 2]


def test_one_without_an_answer_is_waited_for_only_so_long(world: World) -> None:
    del world.replies[BAD]
    assert world.ask() == {Kind.BAD: Answer(Kind.BAD, None, 5), Kind.GOOD: Answer(Kind.GOOD, "allow", 1.0)}
    assert world.now == 5


def test_answers_to_others_and_what_came_before_are_passed_over(world: World) -> None:
    world.kafka.append(REPLIES, world.replies[GOOD], b"somebody's")
    assert all(answer.right for answer in world.ask().values())
    world.kafka.append(REPLIES, None)
    assert all(answer.right for answer in world.ask().values())


@pytest.mark.parametrize(("reply", "said"), [(b'{"code":"no_route"}', "no_route"), (b"junk", "no outcome")])
def test_what_is_no_verdict_is_no_right_answer(world: World, reply: bytes, said: str) -> None:
    world.replies[GOOD] = reply
    assert world.ask()[Kind.GOOD] == Answer(Kind.GOOD, said, 1.0)


def test_a_topic_or_a_right_that_is_missing_is_named(world: World) -> None:
    world.kafka.refused[JOBS] = TopicAuthorizationFailedError()
    with pytest.raises(ConfigurationError, match="refused"):
        world.ask()
    del world.kafka.topics[REPLIES]
    with pytest.raises(ConfigurationError, match=r"topic llmos\.replies\.canary does not exist"):
        world.ask()


def test_a_delivery_may_take_no_longer_than_the_answer(world: World) -> None:
    client = module._client(world.settings)
    assert (client["delivery_timeout_ms"], client["request_timeout_ms"]) == (5_000, 4_000)


Round = Sequence[Answer] | Exception
RIGHT = (Answer(Kind.BAD, "review", 0.25), Answer(Kind.GOOD, "allow", 0.25))
WRONG = (Answer(Kind.BAD, "allow", 0.25), Answer(Kind.GOOD, "allow", 0.25))
LATE = (Answer(Kind.BAD, None, 5), Answer(Kind.GOOD, None, 5))


class Script:
    """Canaries whose rounds are known beforehand; after the last one the prober is stopped. Each takes as long as it should."""

    def __init__(self, settings: Settings, *rounds: Round) -> None:
        self._rounds = list(rounds)
        self._now = 0.0
        self.connected = 0
        self.seen: list[list[str]] = []
        """Why the process was not ready before each round."""
        self.readiness = Readiness(settings, lambda: self._now)
        self.readiness.announce(up=True)
        self.prober: Any = Prober(settings, self.readiness, self, lambda: self._now)  # type: ignore[arg-type]  # as far as it goes

    def __call__(self, _settings: Settings) -> Self:
        self.connected += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def ask(self) -> Sequence[Answer]:
        self.seen.append(self.readiness.because())
        self._now += 30
        if len(self._rounds) == 1:
            self.prober._stopping.set()
        found = self._rounds.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0)


def played(world: World, *rounds: Round) -> Script:
    """A prober that has lived through these rounds."""
    script = Script(world.settings, *rounds)
    script.prober._run()
    return script


def metric(name: str, kind: str) -> float:
    return REGISTRY.get_sample_value(name, {"kind": kind}) or 0.0


def test_the_last_round_decides_whether_the_process_is_ready(world: World) -> None:
    script = played(world, RIGHT, WRONG, LATE, RIGHT, RIGHT)
    wrong = ["the known-bad canary got the verdict allow"]
    late = [f"the known-{kind} canary had no answer within 5 s" for kind in ("bad", "good")]
    assert script.seen == [[NONE_YET], [], wrong, late, []]
    assert script.readiness.because() == []


def test_the_connection_is_kept_until_an_answer_is_wrong(world: World) -> None:
    assert played(world, RIGHT, RIGHT, LATE, RIGHT, RIGHT).connected == 2


@pytest.mark.parametrize("error", [TransientError("kafka-1 is away"), ConfigurationError("no such topic"), ZeroDivisionError()])
def test_whatever_goes_wrong_the_process_is_not_ready_and_asks_again(
    world: World, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    script = played(world, RIGHT, error, RIGHT)
    assert script.seen == [[NONE_YET], [], [NOT_SENT]]
    assert script.readiness.because() == []
    assert str(error) in caplog.text


def test_what_is_logged_is_a_change(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    played(world, RIGHT, RIGHT, WRONG, WRONG, RIGHT)
    said = [record.getMessage() for record in caplog.records if record.name == module.__name__]
    assert said == [
        "canaries got the right answers",
        "not ready: the known-bad canary got the verdict allow",
        "canaries got the right answers",
    ]


def test_metrics_tell_the_last_answers_and_how_long_they_took(world: World) -> None:
    before = metric("llmos_canary_seconds_count", "bad"), metric("llmos_canary_seconds_sum", "good")
    played(world, RIGHT, LATE, WRONG)
    assert (metric("llmos_canary_ok", "bad"), metric("llmos_canary_ok", "good")) == (0, 1)
    after = metric("llmos_canary_seconds_count", "bad"), metric("llmos_canary_seconds_sum", "good")
    assert after == (before[0] + 2, before[1] + 0.5)
    played(world, RIGHT, TransientError("away"))
    assert (metric("llmos_canary_ok", "bad"), metric("llmos_canary_ok", "good")) == (0, 0)


def test_nothing_is_asked_before_the_process_is_up_nor_once_it_drains(world: World) -> None:
    readiness = Readiness(world.settings)
    with probing(world.settings, readiness):
        assert readiness.because() == [NOT_UP, NONE_YET]
        readiness.announce(up=True)
        wait_until(lambda: readiness.because() == [], "the first answers")
        readiness.announce(up=False)
    assert len(world.kafka.records(JOBS)) == 2


def test_where_canaries_are_off_nothing_is_asked(world: World) -> None:
    settings = world.settings.model_copy(update={"canary_every_s": 0})
    world.kafka.step = lambda name: pytest.fail(f"{name} though canaries are off")
    with probing(settings, Readiness(settings)):
        assert "prober" not in {thread.name for thread in module.threading.enumerate()}


@pytest.mark.parametrize(
    ("replies", "code", "said"),
    [
        ({}, 0, "known-bad: block after "),
        ({BAD: b'{"verdict":"allow"}'}, 1, "the known-bad canary got the verdict allow"),
        ({GOOD: b'{"code":"no_route"}'}, 1, "the known-good canary became a dead letter: no_route"),
        ({BAD: None}, 5, "the known-bad canary had no answer within 1 s"),
    ],
)
def test_the_command_asks_once(world: World, replies: dict[str, bytes | None], code: int, said: str) -> None:
    world.replies = {text: reply for text, reply in (world.replies | replies).items() if reply is not None}
    environment = {"LLMOS_CANARY_BAD_TEXT": BAD, "LLMOS_CANARY_GOOD_TEXT": GOOD}
    done = CliRunner().invoke(app, ["canary", "--bootstrap", "broker:9092", "--within", "1"], env=environment)
    assert (done.exit_code, said in done.output) == (code, True), done.output


def test_the_command_prints_json_for_machines(world: World) -> None:
    environment = {"LLMOS_CANARY_BAD_TEXT": BAD, "LLMOS_CANARY_GOOD_TEXT": GOOD}
    done = CliRunner().invoke(app, ["canary", "--bootstrap", "broker:9092", "--json"], env=environment)
    assert {(answer["kind"], answer["said"], answer["right"]) for answer in json.loads(done.output)} == {
        ("bad", "block", True),
        ("good", "allow", True),
    }
