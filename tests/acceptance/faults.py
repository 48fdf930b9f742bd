"""The plan of a chaos run: which fault hits whom, when and for how long. Pure: the same seed and options give the same plan."""

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Victim = Literal["process", "stage", "extra", "wire", "node", "text"]

SESSION_S: Final = 6
"""How long a silent process keeps its partitions: the shortest that Apache Kafka allows by default."""
FIRST_S: Final = 4
"""The first fault comes when traffic flows."""
GAP_S: Final = (3.0, 7.0)
"""Between the beginnings of two faults."""
REST_S: Final[dict[Victim, float]] = {"node": 15, "wire": 5}
"""For a broker to start on its log, and for clients to find it again; what else hits a broker comes later."""
_REST_S: Final = 1
SLOW_MS: Final = 300
"""How much longer a slow worker takes for each chunk."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: whom it hits, how long it lasts, how often it is dealt, the repeats that it may cost, and what it is."""

    victim: Victim
    lasts_s: tuple[float, float]
    cards: int
    told: str
    repeats_s_max: float | None = None


KINDS: Final = {
    "kill": Kind("process", (0, 0), 3, "SIGKILL of a process", 1),
    "term": Kind("process", (0, 0), 2, "SIGTERM of a process"),
    "pause": Kind("process", (0.5, SESSION_S - 2), 1, "SIGSTOP, and SIGCONT before its session ends"),
    "freeze": Kind("process", (SESSION_S + 2, SESSION_S + 5), 1, "SIGSTOP for longer than its session"),
    "stall": Kind("stage", (2, SESSION_S - 2), 1, "SIGSTOP of every process of a stage"),
    "add": Kind("extra", (8, 14), 1, "one process more, taken away later"),
    "slow": Kind("extra", (8, 14), 1, "a slow worker more, taken away later"),
    "cut": Kind("wire", (0.1, 5), 1, "every connection to a broker cut, and new ones refused"),
    "mute": Kind("wire", (1, 4), 1, "connections stay, and nothing goes through"),
    "broker": Kind("node", (0.5, 6), 2, "SIGKILL of a broker, started again on its log", 3),
    "poison": Kind("text", (0, 0), 0, "a text that kills its worker, in the traffic and not in the plan", 1),
}
ADDRESSES: Final[tuple[Victim, ...]] = ("wire", "node")
"""What hits brokers: one of these at a time, or a cluster would lose its majority."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the plan; times in seconds from the beginning of traffic."""

    at_s: float
    kind: str
    victim: str
    lasts_s: float

    def __str__(self) -> str:
        """For people."""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at_s:6.1f} s  {self.kind:<7} {self.victim}{lasts}"


def make_plan(*, seed: int, seconds: float, kinds: Collection[str], processes: Sequence[str], nodes: int) -> list[Fault]:
    """Faults one after the other until `seconds` are over; kinds are dealt like cards, so that each comes up soon."""
    dice = random.Random(seed)
    deck = _deck(sorted(name for name in kinds if KINDS[name].cards), dice)
    free_at: dict[str, float] = {}
    faults: list[Fault] = []
    at = float(FIRST_S)
    for name in deck:
        kind = KINDS[name]
        victim = _victim(name, dice, processes, nodes, len(faults))
        busy = _busy(kind, victim, processes)
        at = max([at, *(free_at.get(one, 0) for one in busy)])
        fault = Fault(round(at, 2), name, victim, round(dice.uniform(*kind.lasts_s), 2))
        if at >= seconds:
            return faults
        at += dice.uniform(*GAP_S)
        if fault.at_s + fault.lasts_s > seconds:
            continue
        rest = REST_S.get(kind.victim, _REST_S)
        free_at.update(dict.fromkeys(busy, fault.at_s + fault.lasts_s + rest))
        faults.append(fault)
    return faults


def _deck(kinds: Sequence[str], dice: random.Random) -> Iterator[str]:
    while kinds:
        cards = [name for name in kinds for _ in range(KINDS[name].cards)]
        dice.shuffle(cards)
        yield from cards


def _victim(name: str, dice: random.Random, processes: Sequence[str], nodes: int, number: int) -> str:
    stages = sorted({stage_of(process) for process in processes})
    chosen: dict[Victim, Callable[[], str]] = {
        "process": lambda: dice.choice(processes),
        "stage": lambda: dice.choice(stages),
        "extra": lambda: f"{'worker' if name == 'slow' else dice.choice(stages)}-extra-{number}",
        "wire": lambda: f"broker-{dice.randint(1, nodes)}",
        "node": lambda: f"broker-{dice.randint(1, nodes)}",
    }
    return chosen[KINDS[name].victim]()


def _busy(kind: Kind, victim: str, processes: Sequence[str]) -> list[str]:
    if kind.victim in ADDRESSES:
        return ["brokers"]
    if kind.victim == "stage":
        return [process for process in processes if stage_of(process) == victim]
    return [victim]


def stage_of(process: str) -> str:
    """preprocess or worker: what a process's name begins with."""
    return process.partition("-")[0]
