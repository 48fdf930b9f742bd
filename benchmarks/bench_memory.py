"""Resident memory of preprocess and worker over many jobs: it must stay flat once they are warm.

    python -m benchmarks.bench_memory [--jobs 1000000]

Runs a toy model, so that the pipeline is what is loaded. The embedded broker keeps every record in memory: give it fewer jobs.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks.support.brokers import any_broker
from benchmarks.support.report import Report, arguments, table
from benchmarks.support.stages import Stages, stages
from pipeline.publish import JobPublisher
from pipeline.topics import describe_topics
from schemas.jobs import TextJob
from tests.support.toy import make_toy_models

JOBS: Final = 1_000_000
WARM_SHARE: Final = 0.1
"""Share of the jobs after which buffers and caches have their size."""
GROWTH_MAX: Final = 0.05
BATCH_JOBS: Final = 10_000
AHEAD_JOBS: Final = 50_000
"""Jobs published and not yet done, at most: memory under a bounded backlog is what is asked."""
WORDS: Final = ("hello", "friend", "you", "idiot", "filler", "the", "weather", "is", "fine", "today", "casino")


def main() -> int:
    """Measure; exit code 1 where a process has grown by more than 5 %."""
    given = arguments(__doc__, JOBS).parse_args()
    report = Report("bench_memory", given)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name, any_broker(Path(name)) as broker:
        folder, prefix = Path(name), f"bench-memory-{os.getpid()}"
        changes = {**make_toy_models(folder), "LLMOS_PUBLISH_BULK_JOBS": "500"}
        with stages(broker, folder, name=prefix, changes=changes) as system, Progress(console=report.console) as bar:
            warm, end, rate = measure(system, given.jobs, bar)
    growth = {process: end[process] / warm[process] - 1 for process in warm}
    rows = [(one, warm[one] >> 20, end[one] >> 20, f"{share:+.1%}") for one, share in growth.items()]
    figures = {"jobs": given.jobs, "broker": broker.name, "jobs_per_s": round(rate), "warm_bytes": warm, "end_bytes": end}
    shown = table(f"resident memory over {given.jobs:,} jobs", ("process", "warm, MiB", "end, MiB", "growth"), rows)
    report.finish({**figures, "growth": growth}, shown)
    return int(any(share > GROWTH_MAX for share in growth.values()))


def measure(system: Stages, jobs: int, bar: Progress) -> tuple[dict[str, int], dict[str, int], float]:
    """Resident bytes by process when warm and at the end, and jobs a second."""
    task = bar.add_task("jobs", total=jobs)
    published, finished, started = 0, 0, time.monotonic()
    warm: dict[str, int] = {}
    with JobPublisher(system.settings) as publisher:
        while finished < jobs:
            if published < jobs and published - finished < AHEAD_JOBS:
                publisher.publish_many(texts(published, min(BATCH_JOBS, jobs - published)))
                published = min(jobs, published + BATCH_JOBS)
            else:
                time.sleep(0.5)
            system.watch()
            finished = done(system)
            bar.update(task, completed=finished)
            if not warm and finished >= WARM_SHARE * jobs:
                warm = memory(system)
    return warm, memory(system), jobs / (time.monotonic() - started)


def texts(first: int, count: int) -> Iterator[TextJob]:
    """Jobs of 2 to 40 words; every text is another one."""
    for number in range(first, first + count):
        words = [WORDS[(number * 7 + place) % len(WORDS)] for place in range(2 + number % 39)]
        yield TextJob(job_id=f"memory-{number}", text=f"{' '.join(words)} {number}")


def memory(system: Stages) -> dict[str, int]:
    """Resident bytes of the stages."""
    return {stage: used.resident_bytes for stage, used in system.usage().items() if stage != "broker"}


def done(system: Stages) -> int:
    """Results so far."""
    described, _ = describe_topics(system.settings)
    return next(topic.records for topic in described if topic.name == system.settings.results_topic)


if __name__ == "__main__":
    sys.exit(main())
