"""Supervision, with real but tiny children."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import exits, supervise
from pipeline.backoff import JITTER
from pipeline.supervise import FAILED_STARTS_MAX, Child, Supervisor
from schemas.errors import DeadLetterLimitError, FatalError, TransientError
from tests.support.waiting import wait_until

READY = "import os, pathlib, time; pathlib.Path(os.environ['LLMOS_READY_FILE']).touch(); "
LIVES = READY + "time.sleep(60)"
DEAF = (
    READY.replace("import os", "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); import os") + "time.sleep(60)"
)


class Watched:
    """Children that run such programs, their supervisor, and what it said."""

    def __init__(self, folder: Path, *programs: str, grace_s: float = 20) -> None:
        self.said: list[str] = []
        self.children = [
            Child(
                f"child-{n}", [sys.executable, "-c", program], {"N": str(n)}, folder / "logs" / f"{n}.log", folder / f"{n}.ready"
            )
            for n, program in enumerate(programs)
        ]
        self.supervisor = Supervisor(self.children, self.said.append, grace_s)

    def alive(self, number: int = 0) -> bool:
        process = self.children[number].process
        return process is not None and process.poll() is None

    def pid(self, number: int = 0) -> int:
        process = self.children[number].process
        assert process is not None
        return process.pid

    def watch_until_replaced(self, pid: int) -> None:
        def replaced() -> bool:
            self.supervisor.watch()
            return self.pid() != pid and self.alive() and self.children[0].ready_file.exists()

        wait_until(replaced, "a new process")

    def kill_all(self) -> None:
        for number in range(len(self.children)):
            if self.children[number].process and self.alive(number):
                os.kill(self.pid(number), signal.SIGKILL)
                self.children[number].process.wait()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "BACKOFF_MIN_S", 0.01)
    monkeypatch.setattr(supervise, "BACKOFF_MAX_S", 0.05)
    monkeypatch.setattr(supervise, "_POLL_S", 0.01)


Watching = Callable[..., Watched]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    """Makes children that run such programs; none outlives its test."""
    made: list[Watched] = []

    def make(*programs: str, grace_s: float = 20) -> Watched:
        made.append(Watched(tmp_path, *programs, grace_s=grace_s))
        return made[-1]

    yield make
    for watched in made:
        watched.kill_all()


@pytest.fixture
def watched(watching: Watching) -> Watched:
    """Two children that are well."""
    return watching(LIVES, LIVES)


def test_start_returns_when_all_are_ready(watched: Watched) -> None:
    watched.supervisor.start()
    assert all(child.ready_file.exists() for child in watched.children)
    assert watched.alive(0)
    assert watched.alive(1)


def test_a_ready_file_of_an_earlier_life_counts_for_nothing(watching: Watching) -> None:
    watched = watching("import time; time.sleep(60)")
    watched.children[0].ready_file.touch()
    with pytest.raises(TransientError, match="not ready in 0 s: child-0"):
        watched.supervisor.start(ready_s=0)


def test_a_child_that_dies_is_started_again_and_said_so(watched: Watched) -> None:
    watched.supervisor.start()
    before = watched.pid()
    os.kill(before, signal.SIGKILL)
    watched.watch_until_replaced(before)
    assert "child-0 died (exit code -9); starting it again in 0.0 s" in watched.said[0]
    assert str(watched.children[0].log_file) in watched.said[0]
    assert len(watched.said) == 1


def test_each_death_is_waited_out_twice_as_long_up_to_a_limit(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "BACKOFF_MIN_S", 0.5)
    monkeypatch.setattr(supervise, "BACKOFF_MAX_S", 30)
    waits = []
    child = watched.children[0]
    child.process = subprocess.Popen([sys.executable, "-c", ""])
    child.process.wait()
    for _ in range(9):
        child.started_at, child.was_ready = 100.0, True
        watched.supervisor._plan_restart(child, now=101.0)
        assert child.restart_at is not None
        waits.append(child.restart_at - 101)
    longest = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert all((1 - JITTER) * most <= wait <= most for wait, most in zip(waits, longest, strict=True))


def test_a_child_that_has_lived_long_enough_begins_anew(watched: Watched) -> None:
    child = watched.children[0]
    child.process = subprocess.Popen([sys.executable, "-c", ""])
    child.process.wait()
    child.deaths, child.started_at = 5, 0.0
    watched.supervisor._plan_restart(child, now=supervise.STEADY_S + 1)
    assert child.deaths == 1


def test_a_child_that_never_gets_ready_is_given_up_with_the_end_of_its_log(watching: Watching) -> None:
    watched = watching("import sys; print('no such model'); sys.exit(4)")
    with pytest.raises(FatalError, match=rf"child-0 died {FAILED_STARTS_MAX} times in a row .*exit code 4") as given_up:
        watched.supervisor.start()
    assert "no such model" in str(given_up.value)
    assert len(watched.said) == FAILED_STARTS_MAX - 1


def test_a_child_that_stops_because_most_jobs_fail_is_not_started_again(watching: Watching) -> None:
    watched = watching(READY + f"print('600 of the last 1,000'); raise SystemExit({exits.DEAD_LETTERS})")
    watched.children[0].start()
    assert watched.children[0].process is not None
    watched.children[0].process.wait(30)
    with pytest.raises(DeadLetterLimitError, match=r"child-0 stopped, and is not started again:\n600 of the last 1,000"):
        watched.supervisor.watch()
    assert watched.said == []


def test_a_child_that_dies_over_its_work_again_and_again_is_not_given_up(watching: Watching) -> None:
    """One text that kills its worker takes some deaths until it is buried, and there may be several such texts."""
    watched = watching(READY + "time.sleep(0.05)")
    watched.supervisor.start()

    def enough() -> bool:
        watched.supervisor.watch()
        return len(watched.said) > FAILED_STARTS_MAX + 1

    wait_until(enough, "deaths")


def test_children_are_drained_one_after_the_other_in_order(watching: Watching, tmp_path: Path) -> None:
    note = tmp_path / "order"
    program = (
        "import os, pathlib, signal, time\n"
        "def stop(*_):\n"
        f"    with open({str(note)!r}, 'a') as order: order.write('begin ' + os.environ['N'] + '\\n')\n"
        "    time.sleep(0.1)\n"
        f"    with open({str(note)!r}, 'a') as order: order.write('end ' + os.environ['N'] + '\\n')\n"
        "    os._exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "pathlib.Path(os.environ['LLMOS_READY_FILE']).touch()\n"
        "while True: signal.pause()\n"
    )
    watched = watching(program, program)
    watched.supervisor.start()
    watched.supervisor.stop()
    assert note.read_text().split("\n")[:-1] == ["begin 0", "end 0", "begin 1", "end 1"]


def test_what_does_not_stop_in_time_is_killed_and_said_so(watching: Watching) -> None:
    watched = watching(DEAF, grace_s=-4.9)  # five seconds are added
    watched.supervisor.start()
    watched.supervisor.stop()
    assert not watched.alive()
    assert watched.said == ["child-0 did not stop in time: killed"]


def test_stop_passes_over_what_is_not_running(watched: Watched) -> None:
    watched.supervisor.stop()
    watched.supervisor.start()
    os.kill(watched.pid(), signal.SIGKILL)
    wait_until(lambda: not watched.alive(), "its death")
    watched.supervisor.stop()
    assert not watched.alive(1)


def test_a_child_gets_its_settings_and_the_supervisors_own(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "yes")
    program = "import os; print(os.environ['FROM_OUTSIDE'], os.environ['N'], flush=True); " + LIVES
    watched = watching(program)
    watched.supervisor.start()
    assert watched.children[0].log_tail() == "yes 0\n"


def test_a_childs_log_is_added_to_and_its_tail_is_short(watching: Watching) -> None:
    watched = watching("")
    assert watched.children[0].log_tail() == ""
    watched.children[0].log_file.parent.mkdir()
    watched.children[0].log_file.write_text("before " * 1000)
    watched.children[0].start()
    process = watched.children[0].process
    assert process is not None
    process.wait()
    assert len(watched.children[0].log_tail()) == supervise._LOG_TAIL_BYTES


def test_a_child_stands_in_a_process_group_of_its_own(watched: Watched) -> None:
    watched.supervisor.start()
    assert os.getpgid(watched.pid()) == watched.pid(), "Ctrl-C is for the supervisor alone"
