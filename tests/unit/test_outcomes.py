"""Waiting for outcomes: each job once, by its id or by the place of its record; and an end to the waiting."""

import json
import threading
import time
from collections.abc import Iterator

import pytest
from kafka.errors import KafkaTimeoutError

from pipeline import outcomes as outcomes_module
from pipeline.outcomes import Outcomes
from pipeline.publish import Delivery
from pipeline.settings import Settings
from schemas.errors import TransientError
from tests.support.fake_kafka import FakeKafka
from tests.support.waiting import wait_until

RESULTS, DEAD = "llmos.results", "llmos.dead-letters"


class Desk:
    """Outcomes over an in-memory Kafka, and what they wrote."""

    def __init__(self, kafka: FakeKafka) -> None:
        self.kafka = kafka
        self.written: list[bytes] = []
        self.outcomes = Outcomes(Settings(kafka_bootstrap="broker:9092"), self.written.append)

    def result(self, job_id: str, value: bytes | None = b"{}") -> None:
        self.kafka.append(RESULTS, value, job_id.encode())

    def dead_letter(self, offset: int, key: bytes | None = None) -> None:
        """Of the record at that offset of the jobs topic."""
        source = {"topic": "llmos.jobs", "partition": 0, "offset": offset}
        self.kafka.append(DEAD, json.dumps({"source": source, "n": offset}).encode(), key)

    def wait(self, idle_s: float = 20) -> bool:
        return self.outcomes.wait(idle_s, lambda: None)

    def caught_up(self) -> None:
        """Until all that lies there was read."""
        self.outcomes.expect("the last")
        self.result("the last")
        assert self.wait()


def place(offset: int) -> Delivery:
    return Delivery((), "llmos.jobs", 0, offset)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    kafka = FakeKafka(**{RESULTS: 1, DEAD: 1})
    kafka.install(monkeypatch)
    nothing = threading.Event()
    kafka.idle = lambda: nothing.wait(0.001)
    kafka.append(RESULTS, b"old", b"a")  # from before: none of our business
    desk = Desk(kafka)
    with desk.outcomes:
        yield desk


def test_each_job_is_resolved_by_its_result_or_its_dead_letter(desk: Desk) -> None:
    for job_id in ("a", "b", "c"):
        desk.outcomes.expect(job_id)
    desk.result("a", b"result of a")
    desk.dead_letter(7, b"b")
    desk.result("c", b"result of c")
    assert desk.wait()
    assert (desk.outcomes.results, desk.outcomes.dead, desk.outcomes.missing) == (2, 1, 0)
    assert {b"result of a", b"result of c"} < set(desk.written)


def test_a_repeat_is_dropped(desk: Desk) -> None:
    desk.outcomes.expect("a")
    for _ in range(3):
        desk.result("a", b"a")
    desk.caught_up()
    assert desk.written == [b"a", b"{}"]
    assert desk.outcomes.results == 2


def test_outcomes_of_others_are_none_of_ours(desk: Desk) -> None:
    desk.result("theirs", b"theirs")
    desk.dead_letter(3, b"theirs too")
    desk.caught_up()
    assert desk.written == [b"{}"]


def test_a_raw_record_is_resolved_by_its_place(desk: Desk) -> None:
    desk.outcomes.expect_place(place(4))
    assert desk.outcomes.missing == 1
    desk.dead_letter(4)
    assert desk.wait()
    assert (desk.outcomes.dead, len(desk.written)) == (1, 1)


def test_a_dead_letter_that_comes_before_its_delivery_is_confirmed_is_kept_for_it(desk: Desk) -> None:
    desk.dead_letter(4)
    desk.caught_up()
    desk.outcomes.expect_place(place(4))
    assert desk.outcomes.missing == 0
    assert (desk.outcomes.dead, len(desk.written)) == (1, 2)


def test_of_the_early_dead_letters_the_newest_are_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' dead letters must not fill the room for ever."""
    monkeypatch.setattr(outcomes_module, "EARLY_MAX", 3)
    for offset in range(10):
        desk.dead_letter(offset)
    desk.caught_up()
    desk.outcomes.expect_place(place(9))
    desk.outcomes.expect_place(place(2))
    assert (desk.outcomes.dead, desk.outcomes.missing) == (1, 1)
    assert len(desk.outcomes._early) == 2


@pytest.mark.parametrize("value", [b"no json", b"[]", b"7", b"{}", b'{"source": 3}', b'{"source": {"topic": "a"}}', None])
def test_what_is_no_dead_letter_is_passed_over(desk: Desk, value: bytes | None) -> None:
    desk.kafka.append(DEAD, value)
    desk.caught_up()


def test_a_tombstone_is_no_outcome(desk: Desk) -> None:
    desk.outcomes.expect("a")
    desk.result("a", None)
    desk.result("a", b"a")
    assert desk.wait()
    assert desk.written == [b"a"]


def test_waiting_ends_when_nothing_has_come_for_so_long(desk: Desk) -> None:
    desk.outcomes.expect("never")
    assert not desk.wait(idle_s=0)
    assert desk.outcomes.missing_ids(5) == ["never"]


def test_the_traffic_of_others_does_not_shorten_the_waiting(desk: Desk) -> None:
    desk.outcomes.expect("never")
    desk.kafka.idle = lambda: desk.result("theirs")
    started = time.monotonic()
    assert not desk.wait(idle_s=0.4)
    assert time.monotonic() - started >= 0.4


def test_every_outcome_begins_the_waiting_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(outcomes_module.time, "monotonic", lambda: now[0])
    for number in range(4):
        desk.outcomes.expect(str(number))

    def tick() -> None:
        now[0] += 6
        desk.result(str(int(now[0] // 6) - 1))
        missing = desk.outcomes.missing
        if int(now[0] // 6) <= 4:
            wait_for(lambda: desk.outcomes.missing < missing)

    assert desk.outcomes.wait(10, tick)


def wait_for(condition: object) -> None:
    """Until it holds, whatever the test's clock says."""
    never = threading.Event()
    for _ in range(5_000):
        if condition():
            return
        never.wait(0.001)
    pytest.fail("it did not come")


def test_an_error_of_the_reader_reaches_who_waits_and_who_publishes(desk: Desk) -> None:
    desk.outcomes.expect("a")

    def away(name: str) -> None:
        if name == "poll":
            raise KafkaTimeoutError("broker away")

    desk.kafka.step = away
    with pytest.raises(TransientError, match="broker away"):
        desk.wait()
    with pytest.raises(TransientError, match="broker away"):
        desk.outcomes.expect("b")


def test_an_error_of_the_writer_reaches_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = FakeKafka(**{RESULTS: 1, DEAD: 1})
    kafka.install(monkeypatch)

    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Outcomes(Settings(kafka_bootstrap="broker:9092"), full) as outcomes:
        for job_id in ("a", "b"):
            outcomes.expect(job_id)
        kafka.append(RESULTS, b"{}", b"a")
        with pytest.raises(OSError, match="No space"):
            outcomes.wait(20, lambda: None)


def test_publishing_waits_while_too_many_are_unresolved(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "UNRESOLVED_MAX", 2)
    publishing = threading.Thread(target=lambda: [desk.outcomes.expect(name) for name in "abcd"], daemon=True)
    publishing.start()
    for resolved in ("a", "b"):
        wait_until(lambda: desk.outcomes.missing == 2, "two that are unresolved")
        assert publishing.is_alive()
        desk.result(resolved)
    wait_until(lambda: not publishing.is_alive(), "its end")


def test_it_can_be_left_before_all_has_come(desk: Desk) -> None:
    desk.outcomes.expect("never")


def test_publishing_ends_where_too_many_wait_and_none_comes_back(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcomes_module, "UNRESOLVED_MAX", 1)
    desk.outcomes._idle_s = 0.05
    desk.outcomes.expect("a")
    with pytest.raises(TransientError, match="none has come back"):
        desk.outcomes.expect("b")
