"""Texts through the pipeline, from Kafka to Kafka, and what that took: time, and CPU time by stage."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.support.processes import Usage, cpu_between
from benchmarks.support.stages import Batches, Stages

_LOOK_S: Final = 0.2
_numbers = count(1)
WARM_JOBS: Final = 10_000
"""So many jobs in each form, at most, before anything is measured: a broker on the JVM is slow until its code is compiled."""


@dataclass(frozen=True, slots=True)
class Driven:
    """What became of `jobs` texts; `seconds` are those from `began`, by the monotonic clock, to the last result."""

    jobs: int
    came: int
    began: float
    seconds: float
    cpu_s: dict[str, float]
    usage: dict[str, Usage]
    batches: Batches

    @property
    def texts_per_s(self) -> float:
        """Of those that came back."""
        return self.came / self.seconds

    def cpu_us_per_job(self) -> dict[str, float]:
        """By stage, in the order of the way through."""
        stages = ("publish", "broker", "preprocess", "worker", "results")
        return {stage: self.cpu_s[stage] / max(1, self.came) * 1e6 for stage in stages}


def warm_up(stages: Stages, folder: Path, texts: Sequence[str]) -> None:
    """Some texts through, so that nothing that happens once is measured."""
    for form in ("single", "bulk"):
        drive(stages, folder, texts[:WARM_JOBS], form)


def drive(stages: Stages, folder: Path, texts: Sequence[str], form: str, arrivals: Path | None = None) -> Driven:
    """Publish `texts` in that form (see `publisher`) and wait for the last result; dead letters are missing then."""
    prefix = f"bench{next(_numbers)}"
    with ExitStack() as stack:
        collector = _collector(stack, stages, len(texts), prefix, arrivals)
        before, batches = stages.usage(), stages.batches()
        published = _publish(stack, stages, folder, texts, form, prefix)
        collected = last_line(collector, stages.watch)
    return _driven(len(texts), published, collected, cpu_between(before, stages.usage()), stages, batches)


def work_off(
    idle: Stages, start: Callable[[], AbstractContextManager[Stages]], folder: Path, texts: Sequence[str]
) -> tuple[Driven, float]:
    """The same with nobody at work while the jobs are published; `start` brings the stages. Also: seconds until they are ready.

    Time and CPU time count from the moment that the processes are started, the publisher's CPU time apart.
    """
    prefix = f"bench{next(_numbers)}"
    with ExitStack() as stack:
        collector = _collector(stack, idle, len(texts), prefix, None)
        published = _publish(stack, idle, folder, texts, "bulk", prefix)
        broker, starting = idle.usage()["broker"], time.monotonic()
        stages = stack.enter_context(start())
        start_s = time.monotonic() - starting
        collected = last_line(collector, stages.watch)
        cpu_s = cpu_between({"broker": broker, "preprocess": Usage(), "worker": Usage()}, stages.usage())
        return _driven(len(texts), {**published, "began": starting}, collected, cpu_s, stages, Batches()), start_s


def _driven(
    jobs: int, published: dict[str, Any], collected: dict[str, Any], cpu_s: dict[str, float], stages: Stages, batches: Batches
) -> Driven:
    return Driven(
        jobs=jobs,
        came=collected["came"],
        began=published["began"],
        seconds=collected["last"] - published["began"],
        cpu_s={**cpu_s, "publish": published["cpu_s"], "results": collected["cpu_s"]},
        usage=stages.usage(),
        batches=stages.batches() - batches,
    )


def _collector(stack: ExitStack, stages: Stages, jobs: int, prefix: str, arrivals: Path | None) -> subprocess.Popen[str]:
    process = _start(stack, stages, "collector", str(jobs), prefix, str(arrivals or ""))
    assert process.stdout is not None, "it is piped"
    process.stdout.readline()  # it is ready
    return process


def _publish(stack: ExitStack, stages: Stages, folder: Path, texts: Sequence[str], form: str, prefix: str) -> dict[str, Any]:
    file = folder / f"{prefix}.json"
    file.write_text(json.dumps(list(texts)), "utf-8")
    try:
        return last_line(_start(stack, stages, "publisher", form, str(file), prefix), stages.watch)
    finally:
        file.unlink()


def _start(stack: ExitStack, stages: Stages, module: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of this package, at the latest killed when `stack` closes."""
    command = [sys.executable, "-m", f"benchmarks.support.{module}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **stages.environment})
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def last_line(process: subprocess.Popen[str], watch: Callable[[], None] | None = None) -> dict[str, Any]:
    """The JSON that a process ends with; raises RuntimeError where it fails, and whatever `watch` raises meanwhile."""
    while process.poll() is None:
        if watch:
            watch()
        time.sleep(_LOOK_S)
    assert process.stdout is not None, "it is piped"
    output = process.stdout.read()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}: {output}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found
