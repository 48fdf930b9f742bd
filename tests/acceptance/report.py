"""The verdict on a chaos run: what was measured, what must hold, as JSON for machines and as tables for people."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from pipeline.topics import Lag
from tests.acceptance.crew import Exit, Member
from tests.acceptance.faults import KINDS, Fault
from tests.acceptance.injector import Happened
from tests.acceptance.ledger import Ledger, Repeat

SETTLE_S: Final = 6
"""So long after its end a fault may still be why something was done twice: groups regroup when a process is back."""
_GRAVEST: Final = ("", "stall", "freeze", "mute", "cut", "broker")
"""Faults that may hold up a commit for longer than it takes for the next fault to come, the longest last."""
_SHOWN: Final = 5

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, whether it does, and the proof."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Cost:
    """Repeats of one kind of fault; seconds are seconds of traffic."""

    kind: str
    faults: int
    repeats: int
    seconds_per_fault: float
    seconds_worst: float
    seconds_max: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All that a run has brought to light."""

    options: Json
    plan: Sequence[Fault]
    ledger: Ledger
    traffic_s: float
    drain_s: float
    happened: Sequence[Happened]
    lags: Sequence[Lag]
    stopped: dict[str, int]
    hung: Collection[str]
    all_ready: bool
    members: Sequence[Member]

    @property
    def rate(self) -> float:
        """Jobs a second, as accepted."""
        return len(self.ledger.accepted) / self.traffic_s if self.traffic_s else 0.0

    @property
    def exits(self) -> list[Exit]:
        """Every end of a process, in order."""
        return sorted((ended for member in self.members for ended in member.exits), key=lambda ended: ended.at_s)


def blame(repeats: Sequence[Repeat], happened: Sequence[Happened]) -> dict[int, int]:
    """How many repeats each fault cost, by its index; -1 for those without any."""
    return dict(Counter(cause(repeat, happened) for repeat in repeats))


def cause(repeat: Repeat, happened: Sequence[Happened]) -> int:
    """The fault that is to blame, by its index; -1 for none.

    Of those under way, or just over, between the two outcomes of a job, it is the gravest, and of several such the last.
    """
    between = [
        index
        for index, event in enumerate(happened)
        if event.began_s <= repeat.again_s and (event.ended_s or repeat.again_s) + SETTLE_S >= repeat.first_s
    ]
    return max(between, key=lambda index: (_gravity(happened[index]), happened[index].began_s), default=-1)


def _gravity(event: Happened) -> int:
    """That of a death which nobody planned is the least: it may itself be what a fault has led to."""
    return 1 + _GRAVEST.index(event.kind) if event.kind in _GRAVEST else int(event.kind in KINDS)


def costs(run: Run) -> list[Cost]:
    """Repeats by kind of fault, the dearest first."""
    blamed = blame(run.ledger.repeats, run.happened)
    kinds = Counter(event.kind for event in run.happened)
    found = []
    for kind, count in kinds.items():
        each = [blamed.get(index, 0) for index, event in enumerate(run.happened) if event.kind == kind]
        total, worst = sum(each), max(each)
        limit = KINDS[kind].repeats_s_max if kind in KINDS else None
        found.append(Cost(kind, count, total, _share(total, count * run.rate), _share(worst, run.rate), limit))
    if -1 in blamed:
        found.append(Cost("no fault", 0, blamed[-1], 0, _share(blamed[-1], run.rate), 0))
    return sorted(found, key=lambda cost: -cost.repeats)


def _share(count: int, by: float) -> float:
    return round(count / by, 3) if by else 0.0


def checks(run: Run) -> list[Check]:
    """What must hold."""
    return [*_ledger_checks(run.ledger), *_cost_checks(costs(run)), *_process_checks(run)]


def _ledger_checks(ledger: Ledger) -> Iterator[Check]:
    yield Check("jobs were accepted", len(ledger.accepted) > 0, f"{len(ledger.accepted)}")
    must_be_empty: dict[str, Collection[str]] = {
        "nothing lost": ledger.missing,
        "nothing invented": ledger.invented,
        "no job in both results and dead letters": ledger.in_both,
        "repeats are the same": [repeat.job_id for repeat in ledger.repeats if not repeat.same],
        "every job ended as it must": [f"{job_id}: {how}" for job_id, how in ledger.misjudged.items()],
        "everything that asks for attention is flagged": ledger.unflagged,
    }
    for name, found in must_be_empty.items():
        yield Check(name, not found, _some(found))


def _cost_checks(found: Sequence[Cost]) -> Iterator[Check]:
    for cost in found:
        if cost.seconds_max is not None:
            name = f"repeats of {cost.kind}: at most {cost.seconds_max} s of traffic each"
            holds = cost.seconds_per_fault <= cost.seconds_max and (cost.faults > 0 or cost.repeats == 0)
            yield Check(name, holds, f"{cost.seconds_per_fault} s, {cost.repeats} repeats over {cost.faults} faults")


def _process_checks(run: Run) -> Iterator[Check]:
    struck = Counter(event.kind for event in run.happened)
    planned = Counter(fault.kind for fault in run.plan)
    yield Check("every planned fault happened", not planned - struck, _some([f"{kind}" for kind in planned - struck]))
    wrong = [f"{ended.name}: {ended.code} after {ended.asked or 'nothing'}" for ended in run.exits if not ended.right]
    yield Check("every exit code is as it must be", not wrong, _some(wrong))
    yield Check("all processes were ready at the end", run.all_ready, "")
    behind = [f"{lag.group}: {lag.behind}" for lag in run.lags if lag.behind]
    yield Check("groups have no lag", bool(run.lags) and not behind, _some(behind))
    failed = [f"{name}: {code}" for name, code in run.stopped.items() if code != 0]
    yield Check("all stop with exit code 0", bool(run.stopped) and not failed, _some(failed))
    yield Check("nothing hung", not run.hung, _some(run.hung))


def _some(found: Collection[str]) -> str:
    return f"{len(found)}: {', '.join(sorted(found)[:_SHOWN])}" if found else "none"


def as_json(run: Run) -> Json:
    """The whole report."""
    ledger = run.ledger
    return {
        "options": run.options,
        "holds": all(check.holds for check in checks(run)),
        "published": len(ledger.expected),
        "accepted": len(ledger.accepted),
        "refused": len(ledger.refused),
        "settled": ledger.settled,
        "repeats": len(ledger.repeats),
        "rate": round(run.rate, 1),
        "traffic_s": round(run.traffic_s, 1),
        "drain_s": round(run.drain_s, 1),
        "checks": [asdict(check) for check in checks(run)],
        "costs": [asdict(cost) for cost in costs(run)],
        "unexplained": [asdict(repeat) for repeat in ledger.repeats if cause(repeat, run.happened) < 0][:_SHOWN],
        "plan": [asdict(fault) for fault in run.plan],
        "happened": [asdict(event) for event in run.happened],
        "exits": [asdict(ended) for ended in run.exits],
        "stopped": run.stopped,
        "memory_kb": {member.name: {"last": member.memory_kb, "max": member.memory_kb_max} for member in run.members},
    }


def show(run: Run, console: Console) -> None:
    """The same as tables."""
    ledger = run.ledger
    console.print(
        f"\n{len(ledger.accepted)} of {len(ledger.expected)} jobs accepted in {run.traffic_s:.0f} s ({run.rate:.0f}/s), "
        f"{ledger.settled} settled, {len(ledger.repeats)} repeats, drained in {run.drain_s:.0f} s\n"
    )
    repeats = [[str(value) if value is not None else "" for value in asdict(cost).values()] for cost in costs(run)]
    _table(console, ["fault", "times", "repeats", "s of traffic each", "worst", "limit"], repeats)
    ends = Counter((ended.name, ended.asked or "itself", ended.code) for ended in run.exits)
    _table(console, ["process", "asked by", "exit code", "times"], [[*map(str, key), str(ends[key])] for key in sorted(ends)])
    memory = [[one.name, str(one.lives), f"{one.memory_kb >> 10}", f"{one.memory_kb_max >> 10}"] for one in run.members]
    _table(console, ["process", "lives", "MiB at the end", "MiB at most"], memory)
    _table(console, ["must hold", "", "found"], [[one.name, "yes" if one.holds else "NO", one.detail] for one in checks(run)])


def _table(console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, justify="left" if number == 0 else "right" if len(heads) != 3 else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    console.print()
