"""The whole system once around, for a person who looks at it for the first time: start, moderate, tell, stop."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic_core import from_json
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline import exits
from pipeline.outcomes import Outcomes
from pipeline.publish import JobPublisher
from pipeline.rows import Columns, Row, read_rows
from pipeline.settings import Settings
from pipeline.system import System, running
from schemas.codes import Verdict
from schemas.errors import ConfigurationError
from schemas.jobs import TextJob

ONE_BY_ONE: Final = 40
"""Comments sent one at a time, each after the outcome of the one before: the latency of an idle system."""
GIVE_UP_S: Final = 60
"""Without any outcome for so long, the rest counts as missing."""
DIFFERENT_SHOWN: Final = 12
_TEXT_SHOWN: Final = 60


@dataclass(slots=True)
class Report:
    """What came back, and how fast."""

    jobs: Sequence[TextJob]
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    dead: list[dict[str, Any]] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    bulk_texts: int = 0
    bulk_s: float = 0.0

    def take(self, line: bytes) -> None:
        """One outcome, as JSON."""
        outcome = from_json(line)
        if "verdict" in outcome:
            self.results[outcome["job_id"]] = outcome
        else:
            self.dead.append(outcome)

    @property
    def missing(self) -> int:
        """Jobs without an outcome."""
        return len(self.jobs) - len(self.results) - len(self.dead)

    def pairs(self) -> Iterator[tuple[TextJob, str, str]]:
        """(job, expected verdict, verdict) of all jobs with a result that say what they expect."""
        for job in self.jobs:
            expected, result = job.metadata.get("expected"), self.results.get(job.job_id)
            if result and isinstance(expected, str):
                yield job, expected, result["verdict"]


def run_demo(file: Path, output: Path) -> int:
    """Moderate the jobs in `file` on an embedded broker; the exit code is 0 only if every job came back as a result."""
    console = Console(highlight=False)
    report = Report(_read(file))
    output.mkdir(parents=True, exist_ok=True)
    settings = Settings(kafka_bootstrap=None, state_dir=output / "state")
    started = time.monotonic()
    with running(settings, preprocess=1, workers=1, kafka_port=0, http_port=None, say=console.print) as system:
        console.print(f"ready in {time.monotonic() - started:.1f} s")
        _moderate(system, report, console)
        console.print("draining and stopping …")
    _write(output, report)
    _tell(report, output, console)
    if report.missing:
        return exits.TIMEOUT
    return exits.INCOMPLETE if report.dead else exits.OK


def _read(file: Path) -> list[TextJob]:
    try:
        with file.open("rb") as source:
            rows = list(read_rows(source, "jsonl", Columns(), 1 << 20))
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}; run the demo in the repository's folder") from error
    refused = [row for row in rows if not isinstance(row, Row)]
    if refused:
        raise ConfigurationError(f"{file}, line {refused[0].line}: {refused[0].error.reason}")
    return [row.job for row in rows if isinstance(row, Row)]


def _moderate(system: System, report: Report, console: Console) -> None:
    with Progress(console=console) as progress, Outcomes(system.settings, report.take) as outcomes:
        bar = progress.add_task("comments", total=len(report.jobs))

        def tick() -> None:
            system.supervisor.watch()
            progress.update(bar, completed=outcomes.results + outcomes.dead)

        with JobPublisher(system.settings) as publisher:
            for job in report.jobs[:ONE_BY_ONE]:
                _send_one(publisher, outcomes, job, report, tick)
            _send_rest(publisher, outcomes, report, tick)
        tick()


def _send_one(publisher: JobPublisher, outcomes: Outcomes, job: TextJob, report: Report, tick: Callable[[], None]) -> None:
    sent = time.perf_counter()
    outcomes.expect(job.job_id)
    publisher.publish(job)
    if outcomes.wait(GIVE_UP_S, tick):
        report.latencies_ms.append((time.perf_counter() - sent) * 1000)


def _send_rest(publisher: JobPublisher, outcomes: Outcomes, report: Report, tick: Callable[[], None]) -> None:
    rest = report.jobs[ONE_BY_ONE:]
    sent = time.perf_counter()
    for job in rest:
        outcomes.expect(job.job_id)
    publisher.publish_many(rest)
    outcomes.wait(GIVE_UP_S, tick)
    report.bulk_texts, report.bulk_s = len(rest), time.perf_counter() - sent


def _write(output: Path, report: Report) -> None:
    for name, outcomes in (("results", report.results.values()), ("dead-letters", report.dead)):
        lines = (json.dumps(outcome, ensure_ascii=False) + "\n" for outcome in outcomes)
        (output / f"{name}.jsonl").write_text("".join(lines), "utf-8")


def _tell(report: Report, output: Path, console: Console) -> None:
    pairs = list(report.pairs())
    console.print(_verdicts(pairs))
    different = [(job, expected, verdict) for job, expected, verdict in pairs if expected != verdict]
    for job, expected, verdict in different[:DIFFERENT_SHOWN]:
        console.print(f"  expected {expected:6} got {verdict:6} {_short(job.text)}", markup=False)
    if len(different) > DIFFERENT_SHOWN:
        console.print(f"  … and {len(different) - DIFFERENT_SHOWN} more that differ")
    flagged = sum((expected == Verdict.ALLOW) == (verdict == Verdict.ALLOW) for _, expected, verdict in pairs)
    if pairs:
        console.print(
            f"agreement       {1 - len(different) / len(pairs):.0%} of verdicts; {flagged / len(pairs):.0%} on flagged or not"
        )
    if report.latencies_ms:
        p50, p99 = np.percentile(report.latencies_ms, [50, 99])
        console.print(
            f"one at a time   p50 {p50:.0f} ms, p99 {p99:.0f} ms from publish to outcome ({len(report.latencies_ms)} comments)"
        )
    if report.bulk_s:
        console.print(f"all at once     {report.bulk_texts / report.bulk_s:.0f} texts/s ({report.bulk_texts} comments)")
    console.print(f"came back       {len(report.results)} results, {len(report.dead)} dead letters, {report.missing} missing")
    console.print(
        f"outputs         {output / 'results.jsonl'}, {output / 'dead-letters.jsonl'}; logs in {output / 'state' / 'logs'}"
    )


def _verdicts(pairs: Sequence[tuple[TextJob, str, str]]) -> Table:
    counts = Counter((expected, verdict) for _, expected, verdict in pairs)
    table = Table("expected", *(f"got {verdict}" for verdict in Verdict), "all", title="verdicts")
    for expected in Verdict:
        row = [counts[expected, verdict] for verdict in Verdict]
        table.add_row(expected, *map(str, row), str(sum(row)))
    return table


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_SHOWN else line[: _TEXT_SHOWN - 1] + "…"
