"""The chaos harness itself: its plan, its books, its verdict and its wires. A check that cannot fail would be worse than none."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pipeline.supervise import Child
from pipeline.topics import Lag
from tests.acceptance.chaos import parse
from tests.acceptance.crew import Exit, Member
from tests.acceptance.faults import ADDRESSES, KINDS, Fault, make_plan
from tests.acceptance.injector import Happened
from tests.acceptance.ledger import DEAD, RESULT, Expected, Ledger, Repeat
from tests.acceptance.proxy import Proxy
from tests.acceptance.report import Run, as_json, blame, checks
from tests.acceptance.traffic import stream

PROCESSES = ["preprocess-1", "preprocess-2", "worker-1", "worker-2"]


def plan_of(seed: int, seconds: float = 600, nodes: int = 3) -> list[Fault]:
    return make_plan(seed=seed, seconds=seconds, kinds=KINDS, processes=PROCESSES, nodes=nodes)


def test_a_seed_gives_the_same_plan_again_and_another_seed_another() -> None:
    assert plan_of(1) == plan_of(1) != plan_of(2)


@pytest.mark.parametrize("seed", range(5))
def test_every_kind_of_fault_comes_up_and_is_over_in_time(seed: int) -> None:
    plan = plan_of(seed)

    assert {fault.kind for fault in plan} == {name for name, kind in KINDS.items() if kind.cards}
    assert all(fault.at_s + fault.lasts_s <= 600 for fault in plan)


@pytest.mark.parametrize("seed", range(5))
def test_brokers_are_hit_one_at_a_time(seed: int) -> None:
    hits = [fault for fault in plan_of(seed) if KINDS[fault.kind].victim in ADDRESSES]

    assert all(before.at_s + before.lasts_s < after.at_s for before, after in pairwise(hits))


def test_a_seed_gives_the_same_traffic_again() -> None:
    first, again = stream(1, 100, poison=True), stream(1, 100, poison=True)

    assert [next(first) for _ in range(300)] == [next(again) for _ in range(300)]


def test_no_job_has_the_id_of_another() -> None:
    records = stream(1, 100, poison=True)
    ids = [job_id for _ in range(2000) for job_id in next(records).jobs]

    assert len(ids) == len(set(ids))


def result(job_id: str, verdict: str = "allow", **changes: Any) -> bytes:
    return json.dumps({"job_id": job_id, "verdict": verdict, "attempt": 1, "timings": {}, **changes}).encode()


def dead_letter(job_id: str | None, code: str, key: str) -> bytes:
    original = {"key": {"encoding": "utf-8", "data": key}}
    return json.dumps({"job_id": job_id, "code": code, "original": original, "failed_at": "now", "attempts": 1}).encode()


def balanced() -> Ledger:
    """Three jobs that ended as they must, one of them twice."""
    ledger = Ledger()
    ledger.offer({"a": Expected(RESULT, "allow"), "b": Expected(RESULT, "block"), "c": Expected(DEAD, "invalid_utf8")})
    ledger.accept(["a", "b", "c"])
    ledger.take_result(result("a"), 10)
    ledger.take_result(result("b", "block"), 10)
    ledger.take_flagged(result("b", "block"))
    ledger.take_dead_letter(dead_letter(None, "invalid_utf8", "c"), 10)
    ledger.take_result(result("a", attempt=2, timings={"total_ms": 5}), 12)
    return ledger


def run_of(ledger: Ledger, **changes: Any) -> Run:
    member = Member(Child("worker-1", (), {}, Path("log"), Path("ready")))
    member.exits = changes.pop("exits", [Exit("worker-1", 11, -9, "SIGKILL", ready=True)])
    given: dict[str, Any] = {
        "options": {},
        "plan": [Fault(1, "kill", "worker-1", 0)],
        "ledger": ledger,
        "traffic_s": 1,
        "drain_s": 1,
        "happened": [Happened("kill", "worker-1", 11, 12)],
        "lags": [Lag("group", "topic", 5, 5)],
        "stopped": {"worker-1": 0},
        "hung": [],
        "all_ready": True,
        "members": [member],
    }
    return Run(**(given | changes))


def failing(run: Run) -> list[str]:
    return [check.name for check in checks(run) if not check.holds]


def test_a_run_in_which_all_is_well_holds() -> None:
    assert failing(run_of(balanced())) == []
    assert as_json(run_of(balanced()))["holds"]


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda ledger: ledger.accept(["d"]), "nothing lost"),
        (lambda ledger: ledger.take_result(result("d"), 10), "nothing invented"),
        (lambda ledger: ledger.take_dead_letter(dead_letter("a", "no", "a"), 12), "no job in both results and dead letters"),
        (lambda ledger: ledger.take_result(result("a", language="zh"), 12), "repeats are the same"),
        (lambda ledger: ledger.expected.update(a=Expected(DEAD, "no")), "every job ended as it must"),
        (lambda ledger: ledger.flagged.clear(), "everything that asks for attention is flagged"),
        (
            lambda ledger: ledger.repeats.extend(5 * [Repeat("a", 10, 12, same=True)]),
            "repeats of kill: at most 1 s of traffic each",
        ),
    ],
)
def test_books_that_do_not_balance_do_not_hold(spoil: Callable[[Ledger], None], found: str) -> None:
    ledger = balanced()
    spoil(ledger)

    assert failing(run_of(ledger)) == [found]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"lags": [Lag("group", "topic", 4, 5)]}, "groups have no lag"),
        ({"lags": []}, "groups have no lag"),
        ({"stopped": {"worker-1": 75}}, "all stop with exit code 0"),
        ({"hung": ["worker-1"]}, "nothing hung"),
        ({"all_ready": False}, "all processes were ready at the end"),
        ({"plan": 2 * [Fault(1, "kill", "worker-1", 0)]}, "every planned fault happened"),
        ({"exits": [Exit("worker-1", 11, 70, None, ready=True)]}, "every exit code is as it must be"),
        ({"exits": [Exit("worker-1", 11, 0, None, ready=True)]}, "every exit code is as it must be"),
        ({"exits": [Exit("worker-1", 11, -15, "SIGTERM", ready=True)]}, "every exit code is as it must be"),
    ],
)
def test_processes_that_do_not_behave_do_not_hold(changes: dict[str, Any], found: str) -> None:
    assert failing(run_of(balanced(), **changes)) == [found]


@pytest.mark.parametrize(
    ("first_s", "again_s", "kind"),
    [
        (10, 12, "kill"),
        (12, 13, "kill"),  # just over: its group regroups
        (10, 31, "broker"),  # the gravest
        (45, 51, "term"),  # the last
        (45, 45.5, "exit 75"),
        (60, 61, None),
    ],
)
def test_a_repeat_is_blamed_on_the_gravest_fault_between_its_outcomes(first_s: float, again_s: float, kind: str | None) -> None:
    happened = [
        Happened("kill", "worker-1", 11, 11.5),
        Happened("broker", "broker-1", 20, 30),
        Happened("kill", "worker-1", 31, 31),
        Happened("exit 75", "worker-1", 44, 44),
        Happened("term", "worker-1", 50, 50),
    ]

    (blamed,) = blame([Repeat("a", first_s, again_s, same=True)], happened)

    assert (happened[blamed].kind if blamed >= 0 else None) == kind


def test_a_repeat_that_is_read_before_its_first_keeps_their_order_in_time() -> None:
    ledger = Ledger()
    ledger.offer({"a": Expected(RESULT, "allow")})
    ledger.take_result(result("a"), 20)
    ledger.take_result(result("a"), 15)
    (repeat,) = ledger.repeats
    assert (repeat.first_s, repeat.again_s) == (15, 20)


def test_a_broker_that_keeps_no_log_is_not_killed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--broker", "embedded", "--faults", "kill,broker"])

    assert "no such faults with this broker: broker" in capsys.readouterr().err


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets; its port."""

    def serve(peer: socket.socket) -> None:
        with peer:
            while chunk := peer.recv(100):
                peer.sendall(chunk)

    def accept() -> None:
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[peer], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


HELLO, SPARED = bytes(14) + b"hello", bytes(14) + b"chaos"
"""As Kafka clients begin: the name stands at byte 14."""


@contextmanager
def wire(hello: bytes = HELLO) -> Iterator[tuple[Proxy, socket.socket]]:
    with (
        echo() as target,
        Proxy(target, spared=b"chaos") as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), 5) as client,
    ):
        client.sendall(hello)
        assert client.recv(100) == hello
        yield proxy, client


def answer(client: socket.socket) -> bytes:
    """What comes back; nothing where the connection is broken."""
    try:
        client.sendall(HELLO)
        return client.recv(100)
    except ConnectionError:
        return b""


def test_a_cut_wire_breaks_what_is_connected_and_refuses_what_comes() -> None:
    with wire() as (proxy, client):
        proxy.cut()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as late:
            assert answer(client) == answer(late) == b""
        proxy.mend()
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as later:
            assert answer(later) == HELLO


def test_a_mute_wire_keeps_what_is_sent_until_it_is_mended() -> None:
    with wire() as (proxy, client):
        proxy.mute()
        client.sendall(b"late")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        proxy.mend()
        client.settimeout(5)
        assert client.recv(100) == b"late"


def test_who_is_spared_notices_nothing() -> None:
    with wire(SPARED) as (proxy, client):
        proxy.cut()
        proxy.mute()
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
