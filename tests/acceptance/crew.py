"""The processes under test: started, watched, started again, signalled by pid; how each ended and how much memory it held."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from pipeline.supervise import Child
from tests.acceptance.faults import stage_of
from tests.acceptance.traffic import POISON
from workers.faults import VARIABLE

RESTART_S: Final = 0.3
"""Between a death and the next start, as a supervisor would wait."""
STOP_S: Final = 50
"""A process that has not stopped after its grace period and more is hung."""
GRACE_S: Final = 30
_MEMORY_EVERY_S: Final = 1
_COMMANDS: Final = {"preprocess": ("-m", "pipeline", "preprocess"), "worker": ("-m", "workers")}
POISONED: Final = 9
"""The exit code of a worker that a poisonous text has killed; see `workers.faults`."""
GAVE_UP: Final = os.EX_TEMPFAIL
"""A process may give up on a broker that is away; then it has committed nothing of what was under way."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a life ended; `asked` is the signal that it was sent last, if any, and `ready` whether it ever was."""

    name: str
    at_s: float
    code: int
    asked: str | None
    ready: bool

    @property
    def right(self) -> bool:
        """Whether such an end was to be expected."""
        if self.asked == "SIGTERM" and not self.ready and self.code == -signal.SIGTERM:
            return True  # it had taken up nothing yet
        asked_for = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 0}
        return self.code in {POISONED, GAVE_UP} or (self.asked is not None and self.code == asked_for[self.asked])


@dataclass(slots=True)
class Member:
    """One process by its stable name, through all its lives."""

    child: Child
    wanted: bool = True
    asked: str | None = None
    asked_s: float = 0
    lives: int = 0
    was_ready: bool = False
    dead_since_s: float | None = None
    memory_kb: int = 0
    memory_kb_max: int = 0
    exits: list[Exit] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As its instance id."""
        return self.child.name

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped by a signal."""
        return self.child.process is not None and self.child.process.poll() is None

    @property
    def hangs(self) -> bool:
        """Whether it was asked to stop long ago."""
        return self.alive and self.asked == "SIGTERM" and time.monotonic() - self.asked_s > STOP_S

    @property
    def ready(self) -> bool:
        """Whether it runs and says that it is ready."""
        return self.alive and self.child.ready_file.exists()

    def start(self) -> None:
        """Another life."""
        self.asked, self.dead_since_s, self.was_ready = None, None, False
        self.lives += 1
        self.child.start()

    def send(self, number: signal.Signals) -> None:
        """A signal, to this life only."""
        assert self.child.process is not None, "only a started process gets signals"
        if number in {signal.SIGKILL, signal.SIGTERM}:
            self.asked, self.asked_s = number.name, time.monotonic()
        self.child.process.send_signal(number)

    def watch(self) -> Exit | None:
        """Its end, told once; later it is started again if it is wanted."""
        if self.alive or self.child.process is None:
            self.was_ready |= self.ready
            return None
        now = time.monotonic()
        if self.dead_since_s is None:
            self.dead_since_s = now
            self.exits.append(Exit(self.name, time.time(), self.child.process.returncode, self.asked, self.was_ready))
            return self.exits[-1]
        if self.wanted and now - self.dead_since_s >= RESTART_S:
            self.start()
        return None

    def measure(self) -> None:
        """Look at its resident memory."""
        assert self.child.process is not None, "only a started process holds memory"
        self.memory_kb = _resident_kb(self.child.process.pid) or self.memory_kb
        self.memory_kb_max = max(self.memory_kb_max, self.memory_kb)


class Crew:
    """A context manager: everything that it started has ended when it is left. Use it from the main thread alone."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._measured_s = 0.0
        self.members: dict[str, Member] = {}
        self.hung: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members.values():
            if member.alive:
                member.send(signal.SIGKILL)
                member.child.process.wait()  # type: ignore[union-attr]

    def add(self, name: str, *, slow_ms: int = 0) -> Member:
        """Start a process; its name begins with its stage."""
        stage = stage_of(name)
        faults = f"crash:{POISON}" + (f";slow:{slow_ms}" if slow_ms else "")
        environment = {**self._environment, "LLMOS_INSTANCE_ID": name, "LLMOS_SHUTDOWN_GRACE_S": str(GRACE_S), VARIABLE: faults}
        command = [sys.executable, *_COMMANDS[stage]]
        child = Child(name, command, environment, self._folder / f"{name}.log", self._folder / f"{name}.ready")
        self.members[name] = Member(child)
        self.members[name].start()
        return self.members[name]

    def of(self, stage: str) -> list[Member]:
        """The members of a stage."""
        return [member for member in self.members.values() if stage_of(member.name) == stage]

    def watch(self) -> Iterator[Exit]:
        """Ends since the last look; starts again what is wanted. Call it often."""
        for member in self.members.values():
            if member.hangs:
                self.hung.append(member.name)
                member.send(signal.SIGKILL)
            ended = member.watch()
            if ended:
                yield ended
        if time.monotonic() - self._measured_s > _MEMORY_EVERY_S:
            self._measured_s = time.monotonic()
            for member in self.members.values():
                if member.alive:
                    member.measure()

    @property
    def ready(self) -> bool:
        """Whether all that are wanted are ready."""
        return all(member.ready for member in self.members.values() if member.wanted)

    def stop(self) -> dict[str, int]:
        """SIGTERM to all that run; their exit codes once all have ended."""
        running = [member for member in self.members.values() if member.alive]
        for member in self.members.values():
            member.wanted = False
        for member in running:
            member.send(signal.SIGTERM)
        while any(member.dead_since_s is None for member in running):
            list(self.watch())
            time.sleep(0.05)
        return {member.name: member.exits[-1].code for member in running}


def _resident_kb(pid: int) -> int | None:
    """Linux alone tells; elsewhere nothing is reported."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), None)
