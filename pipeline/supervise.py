"""Keeps child processes running: starts them, waits until they are ready, restarts what dies, stops them in order."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline import exits
from pipeline.backoff import wait_s
from pipeline.embedded import die_with_parent
from schemas.errors import DeadLetterLimitError, FatalError, TransientError

BACKOFF_MIN_S, BACKOFF_MAX_S = 0.5, 30.0
STEADY_S: Final = 60
"""A child that has lived so long has recovered: its next death counts as its first."""
FAILED_STARTS_MAX: Final = 6
"""Deaths in a row before a child was ready, after which restarting is no help. One that was ready may have met a text that kills
it, and is started until that text is dead-lettered."""
_POLL_S: Final = 0.1
_LOG_TAIL_BYTES: Final = 2000


@dataclass(slots=True)
class Child:
    """One process to keep running; its output goes to `log_file`, and `ready_file` exists while it is ready."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log_file: Path
    ready_file: Path
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    deaths: int = 0
    failed_starts: int = 0
    was_ready: bool = False
    restart_at: float | None = field(default=None)

    def start(self) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches the supervisor alone."""
        self.ready_file.unlink(missing_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.environment, "LLMOS_READY_FILE": str(self.ready_file)}
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                list(self.command),
                stdout=log,
                stderr=log,
                env=environment,
                process_group=0,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call, no locks)
            )
        self.started_at, self.restart_at, self.was_ready = time.monotonic(), None, False

    def log_tail(self) -> str:
        """The end of what it has written."""
        try:
            return self.log_file.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        except OSError:
            return ""


class Supervisor:
    """Children in the order in which they are drained; `say` tells a person what happens."""

    def __init__(self, children: Sequence[Child], say: Callable[[str], None], grace_s: float) -> None:
        self.children = tuple(children)
        self._say = say
        self._grace_s = grace_s

    def start(self, ready_s: float = 120) -> None:
        """Start all and wait until all are ready; raises FatalError with the end of the log of one that gives up."""
        for child in self.children:
            child.start()
        deadline = time.monotonic() + ready_s
        while not all(child.ready_file.exists() for child in self.children):
            self.watch()
            if time.monotonic() > deadline:
                late = ", ".join(child.name for child in self.children if not child.ready_file.exists())
                raise TransientError(f"not ready in {ready_s:.0f} s: {late}")
            time.sleep(_POLL_S)

    def watch(self) -> None:
        """Notice deaths and start again what is due; call it often. Raises FatalError where restarting is no help."""
        now = time.monotonic()
        for child in self.children:
            child.was_ready = child.was_ready or child.ready_file.exists()
            if child.restart_at is not None:
                if now >= child.restart_at:
                    child.start()
            elif child.process and child.process.poll() is not None:
                self._plan_restart(child, now)

    def _plan_restart(self, child: Child, now: float) -> None:
        assert child.process is not None, "only a started child dies"
        child.deaths = 1 if now - child.started_at > STEADY_S else child.deaths + 1
        child.failed_starts = 0 if child.was_ready else child.failed_starts + 1
        code = child.process.returncode
        if code == exits.DEAD_LETTERS:  # a new process would bury some more before it stops, and so on
            raise DeadLetterLimitError(f"{child.name} stopped, and is not started again:\n{child.log_tail()}")
        if child.failed_starts >= FAILED_STARTS_MAX:
            times = f"{child.failed_starts} times in a row before it was ready (last exit code {code})"
            raise FatalError(f"{child.name} died {times}:\n{child.log_tail()}")
        pause_s = wait_s(child.deaths, first_s=BACKOFF_MIN_S, most_s=BACKOFF_MAX_S)
        child.restart_at = now + pause_s
        self._say(f"{child.name} died (exit code {code}); starting it again in {pause_s:.1f} s, log: {child.log_file}")

    def stop(self) -> None:
        """Drain one after the other, in order; what does not stop within its grace is killed, uncommitted work comes again."""
        for child in self.children:
            if child.process is None or child.process.poll() is not None:
                continue
            child.process.terminate()
            try:
                child.process.wait(self._grace_s + 5)
            except subprocess.TimeoutExpired:
                self._say(f"{child.name} did not stop in time: killed")
                child.process.kill()
                child.process.wait()
