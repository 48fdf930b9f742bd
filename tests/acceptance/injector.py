"""Carries out a plan: strikes when a fault is due, undoes it when its time is over, and notes when its effects had ended."""

import heapq
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from tests.acceptance.cluster import Brokers
from tests.acceptance.crew import POISONED, Crew, Exit, Member
from tests.acceptance.faults import SLOW_MS, Fault

_AGAIN_S: Final = 0.2
"""A victim that is not there yet is struck a moment later."""
_SYNC_S: Final = 30
"""How long a broker may take to catch up before the next one is killed."""


@dataclass(slots=True)
class Happened:
    """A fault, or a death that nobody planned; Unix seconds, `ended_s` once those it hit are ready again."""

    kind: str
    victim: str
    began_s: float
    ended_s: float | None = None


@dataclass(order=True, slots=True)
class _Due:
    at_s: float
    number: int
    act: Callable[[], None] = field(compare=False)


class Injector:
    """`tick` often from the main thread; `in_sync` says whether a cluster bears the loss of a node."""

    def __init__(self, plan: list[Fault], crew: Crew, brokers: Brokers, in_sync: Callable[[], bool]) -> None:
        self._crew = crew
        self._brokers = brokers
        self._in_sync = in_sync
        self._began_s = time.monotonic()
        self._numbers = count()
        self._due: list[_Due] = []
        self._open: list[tuple[Happened, Callable[[], bool]]] = []
        self._executor = ThreadPoolExecutor(1, "broker")
        self.happened: list[Happened] = []
        strike = {
            "kill": lambda fault: self._signal(fault, signal.SIGKILL),
            "term": lambda fault: self._signal(fault, signal.SIGTERM),
            "pause": self._pause,
            "freeze": self._pause,
            "stall": self._pause,
            "add": self._add,
            "slow": self._add,
            "cut": lambda fault: self._wire(fault, "cut"),
            "mute": lambda fault: self._wire(fault, "mute"),
            "broker": self._broker,
        }
        for fault in plan:
            self._later(fault.at_s, lambda fault=fault: strike[fault.kind](fault))  # type: ignore[misc]

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began_s

    @property
    def finished(self) -> bool:
        """Whether every fault has come and gone."""
        return not self._due and not self._open

    def tick(self) -> None:
        """Do what is due, note what has ended; raises what went wrong at a broker."""
        for ended in self._crew.watch():
            self._note_exit(ended)
        while self._due and self._due[0].at_s <= self.seconds:
            heapq.heappop(self._due).act()
        self._open = [(event, over) for event, over in self._open if not self._is_over(event, over)]

    def close(self) -> None:
        """Wait for the brokers' commands."""
        self._executor.shutdown()

    def _later(self, at_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, _Due(at_s, next(self._numbers), act))

    def _note(self, kind: str, victim: str, over: Callable[[], bool]) -> None:
        event = Happened(kind, victim, time.time())
        self.happened.append(event)
        self._open.append((event, over))

    @staticmethod
    def _is_over(event: Happened, over: Callable[[], bool]) -> bool:
        if over():
            event.ended_s = time.time()
        return event.ended_s is not None

    def _note_exit(self, ended: Exit) -> None:
        if ended.asked is None:
            kind = "poison" if ended.code == POISONED else f"exit {ended.code}"
            self._note(kind, ended.name, _back(self._crew.members[ended.name]))

    def _signal(self, fault: Fault, number: signal.Signals) -> None:
        member = self._crew.members[fault.victim]
        if not member.alive or member.asked:
            self._later(self.seconds + _AGAIN_S, lambda: self._signal(fault, number))
            return
        self._note(fault.kind, fault.victim, _back(member))
        member.send(number)

    def _pause(self, fault: Fault) -> None:
        stage = self._crew.of(fault.victim)
        hit = [member for member in stage or [self._crew.members[fault.victim]] if member.alive]
        if not hit:
            self._later(self.seconds + _AGAIN_S, lambda: self._pause(fault))
            return
        lives = [(member, member.lives) for member in hit]
        for member in hit:
            member.send(signal.SIGSTOP)
        until_s = self.seconds + fault.lasts_s
        self._later(until_s, lambda: _go_on(lives))
        self._note(fault.kind, fault.victim, lambda: self.seconds > until_s and all(member.ready for member in hit))

    def _add(self, fault: Fault) -> None:
        member = self._crew.add(fault.victim, slow_ms=SLOW_MS if fault.kind == "slow" else 0)
        self._note(fault.kind, fault.victim, lambda: member.ready or not member.wanted)
        self._later(self.seconds + fault.lasts_s, lambda: self._remove(member))

    def _remove(self, member: Member) -> None:
        member.wanted = False
        self._note("remove", member.name, lambda: not member.alive)
        if member.alive:
            member.send(signal.SIGTERM)

    def _wire(self, fault: Fault, how: str) -> None:
        proxy = self._brokers.proxies[_number(fault.victim)]
        getattr(proxy, how)()
        until_s = self.seconds + fault.lasts_s
        self._later(until_s, proxy.mend)
        self._note(fault.kind, fault.victim, lambda: self.seconds > until_s)

    def _broker(self, fault: Fault) -> None:
        node = _number(fault.victim) + 1
        begun = Happened(fault.kind, fault.victim, time.time())

        def die_and_return() -> None:
            deadline = time.monotonic() + _SYNC_S
            while self._brokers.nodes > 1 and not self._in_sync() and time.monotonic() < deadline:
                time.sleep(_AGAIN_S)
            begun.began_s = time.time()
            assert self._brokers.kill and self._brokers.restart, "an embedded broker keeps no log"  # noqa: PT018
            self._brokers.kill(node)
            time.sleep(fault.lasts_s)
            self._brokers.restart(node)

        work = self._executor.submit(die_and_return)
        self.happened.append(begun)
        self._open.append((begun, lambda: work.done() and work.result() is None))


def _back(member: Member) -> Callable[[], bool]:
    lives = member.lives
    return lambda: (member.lives > lives and member.ready) or not member.wanted


def _go_on(lives: list[tuple[Member, int]]) -> None:
    for member, life in lives:
        if member.lives == life and member.alive:
            member.send(signal.SIGCONT)


def _number(broker: str) -> int:
    return int(broker.rpartition("-")[2]) - 1
