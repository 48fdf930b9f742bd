"""The stages as processes and the command line as a person runs it; whatever an installation starts, it also stops."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import pytest

from pipeline.embedded import die_with_parent
from pipeline.kafka import notes_folder
from pipeline.settings import Settings
from pipeline.topics import admin
from tests.support.waiting import wait_until

STOP_S: Final = 60
"""More than any grace period, so that a process that hangs fails the test and not the run."""
CLI_S: Final = 120
Kind = Literal["preprocess", "worker", "gateway"]
_COMMANDS: Final[dict[Kind, tuple[str, ...]]] = {
    "preprocess": ("-m", "pipeline", "preprocess"),
    "worker": ("-m", "workers"),
    "gateway": ("-m", "pipeline", "gateway"),
}


class Stage:
    """One stage as a process; it can be started, killed and started again."""

    def __init__(self, kind: Kind, name: str, environment: Mapping[str, str], folder: Path) -> None:
        self._command = [sys.executable, *_COMMANDS[kind]]
        self._ready_file = folder / f"{name}.ready"
        self._environment = {**environment, "LLMOS_READY_FILE": str(self._ready_file)}
        self._folder = folder
        self._log_file = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **changes: str) -> None:
        """Start it, with other settings if asked; returns when it is ready."""
        self.launch(**changes)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it says so."""
        wait_until(lambda: self.ready or not self.alive, lambda: f"ready\n{self.log}", STOP_S)
        assert self.alive, f"it ended instead of getting ready\n{self.log}"

    def launch(self, **changes: str) -> None:
        """Start it and wait for nothing."""
        assert not self.alive, "one process a stage"
        self._ready_file.unlink(missing_ok=True)
        environment = {**self._environment, **changes}
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=self._folder,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call, no locks)
            )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return self._ready_file.exists()

    @property
    def log(self) -> str:
        """What it has written."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        self._signal(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self._signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None, "only a started process ends"
        return self._process.wait(STOP_S)

    def stop(self) -> None:
        """End it, whatever it is doing."""
        if self.alive:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "only a started process gets signals"
        self._process.send_signal(number)


class Installation:
    """Settings that reach one broker, one set of topics and one model, and the processes that run with them."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LLMOS_")}
        defaults = {"LLMOS_CONFIG_FILE": str(folder / "none.toml"), "LLMOS_STATE_DIR": str(folder / "state")}
        self.environment = {**ours, **defaults, **environment}
        self.folder = folder
        self.settings = _settings({**defaults, **environment})
        self._stages: list[Stage] = []

    def stage(self, kind: Kind, name: str = "", **changes: str) -> Stage:
        """A stage, not yet started, with a stable name; pass LLMOS_INSTANCE_ID="" for one without."""
        name = name or kind
        stage = Stage(kind, name, {**self.environment, "LLMOS_INSTANCE_ID": name, **changes}, self.folder)
        self._stages.append(stage)
        return stage

    def start_both(self, **of_worker: str) -> tuple[Stage, Stage]:
        """One preprocess app and one worker, ready."""
        started = self.stage("preprocess"), self.stage("worker", **of_worker)
        for stage in started:
            stage.launch()
        for stage in started:
            stage.wait_until_ready()
        return started

    def llmos(self, *arguments: str, stdin: bytes = b"", **changes: str) -> subprocess.CompletedProcess[str]:
        """Run the command line; the caller looks at the exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            input=stdin,
            capture_output=True,
            env={**self.environment, "COLUMNS": "200", **changes},
            cwd=self.folder,
            timeout=CLI_S,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def create_topic(self, name: str) -> None:
        """A topic beside those of the system."""
        with admin(self.settings) as client:
            client.create_topics({name: {"num_partitions": 1, "replication_factor": 1}})

    def topics(self) -> set[str]:
        """Every topic of the broker."""
        with admin(self.settings) as client:
            return set(client.list_topics())

    @property
    def embedded(self) -> bool:
        """Whether the broker is the embedded one."""
        return notes_folder(self.settings) is not None

    def stop(self) -> None:
        """End every stage."""
        for stage in self._stages:
            stage.stop()


@contextmanager
def installation(environment: Mapping[str, str], folder: Path) -> Iterator[Installation]:
    """An installation, everything stopped at the end."""
    made = Installation(environment, folder)
    try:
        yield made
    finally:
        made.stop()


def _settings(environment: Mapping[str, str]) -> Settings:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("LLMOS_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return Settings(_env_file=None)
