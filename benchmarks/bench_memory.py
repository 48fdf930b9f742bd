"""Resident memory of preprocess and worker over many jobs: it must stay flat once they are warm.

    python -m benchmarks.bench_memory --bootstrap HOST:PORT [--jobs 1000000]

Runs a toy model, so that the pipeline is what is loaded, against an Apache Kafka of yours (the embedded broker keeps every
record in memory, and would be what is measured). Topics get a prefix of their own and stay; delete them when you like.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from pipeline.publish import JobPublisher
from pipeline.settings import Settings
from pipeline.system import System, running
from pipeline.topics import describe_topics
from schemas.jobs import TextJob
from tests.support.toy import make_toy_models

WARM_SHARE: Final = 0.1
"""Share of the jobs after which buffers and caches have their size."""
GROWTH_MAX: Final = 0.05
BATCH_JOBS: Final = 10_000
AHEAD_JOBS: Final = 50_000
"""Jobs published and not yet done, at most: memory under a bounded backlog is what is asked."""
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
WORDS: Final = ("hello", "friend", "you", "idiot", "filler", "the", "weather", "is", "fine", "today", "casino")


def texts(first: int, count: int) -> Iterator[TextJob]:
    """Jobs of 2 to 40 words; every text is another one."""
    for number in range(first, first + count):
        words = [WORDS[(number * 7 + place) % len(WORDS)] for place in range(2 + number % 39)]
        yield TextJob(job_id=f"memory-{number}", text=f"{' '.join(words)} {number}")


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (proc(5), statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def memory(system: System) -> dict[str, int]:
    """Resident bytes of every child, by its name."""
    return {child.name: resident_bytes(child.process.pid) for child in system.supervisor.children if child.process}


def done(settings: Settings) -> int:
    """Results so far."""
    described, _ = describe_topics(settings)
    return next(topic.records for topic in described if topic.name == settings.results_topic)


def measure(settings: Settings, jobs: int, console: Console) -> tuple[dict[str, int], dict[str, int], float]:
    """Resident bytes by process when warm and at the end, and jobs a second."""
    with running(settings, preprocess=1, workers=1, kafka_port=0, say=console.print) as system, Progress(console=console) as bar:
        task = bar.add_task("jobs", total=jobs)
        published, finished, warm, started = 0, 0, {}, time.monotonic()
        with JobPublisher(settings) as publisher:
            while finished < jobs:
                if published < jobs and published - finished < AHEAD_JOBS:
                    publisher.publish_many(texts(published, min(BATCH_JOBS, jobs - published)))
                    published = min(jobs, published + BATCH_JOBS)
                else:
                    time.sleep(0.5)
                system.supervisor.watch()
                finished = done(settings)
                bar.update(task, completed=finished)
                if not warm and finished >= WARM_SHARE * jobs:
                    warm = memory(system)
        return warm, memory(system), jobs / (time.monotonic() - started)


def main() -> int:
    """Measure; exit code 1 where a process has grown by more than 5 %."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--bootstrap", required=True, metavar="HOST:PORT", help="an Apache Kafka of yours")
    arguments.add_argument("--jobs", type=int, default=1_000_000)
    given = arguments.parse_args()
    console = Console(stderr=True, highlight=False)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder:
        os.environ |= make_toy_models(Path(folder))
        os.environ["LLMOS_TOPIC_PREFIX"] = f"bench-memory-{os.getpid()}"
        settings = Settings(kafka_bootstrap=given.bootstrap, state_dir=Path(folder) / "state", publish_bulk_jobs=500)
        warm, end, rate = measure(settings, given.jobs, console)
    growth = {name: end[name] / warm[name] - 1 for name in warm}
    table = Table("process", "warm, MiB", "end, MiB", "growth")
    for name, share in growth.items():
        table.add_row(name, f"{warm[name] / 2**20:.0f}", f"{end[name] / 2**20:.0f}", f"{share:+.1%}")
    Console().print(table)
    print(json.dumps({"jobs": given.jobs, "jobs_per_s": round(rate), "warm_bytes": warm, "end_bytes": end, "growth": growth}))
    return int(any(share > GROWTH_MAX for share in growth.values()))


if __name__ == "__main__":
    sys.exit(main())
