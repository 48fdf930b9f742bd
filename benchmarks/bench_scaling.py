"""How the pipeline scales when the model does not use the CPU, and how it works off a backlog.

    python -m benchmarks.bench_scaling [--jobs 5000]

Every worker has a simulated device of its own that takes a fixed time a token and no CPU, so that many workers fit on few cores:
with twice the devices, twice the texts should come out, until the cores are full. Then so many jobs as in `--backlog` are
published while nobody works, and all processes start at once.
"""

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.support.brokers import Broker, any_broker
from benchmarks.support.bundles import device_bundle
from benchmarks.support.device import MODULE, VARIABLE
from benchmarks.support.drive import drive, warm_up, work_off
from benchmarks.support.report import Report, arguments, table
from benchmarks.support.stages import Stages, stages
from benchmarks.support.texts import real_texts, windows_of
from pipeline.bundles import open_bundle
from pipeline.settings import Settings

JOBS: Final = 5_000
BACKLOG: Final = 500_000
PROCESSES: Final = (1, 2, 4, 8)
TEXTS_PER_S: Final = 400
"""Of one device: eight of them leave room on two cores for what the pipeline itself needs."""
_BACKLOG: Final = "bench-backlog"
_FAST: Final = 10
"""Working off a backlog, devices are so many times as fast: the pipeline is then the bottleneck."""


def main() -> None:
    """Measure, print, end with a line of JSON."""
    parser = arguments(__doc__, JOBS)
    parser.add_argument("--backlog", type=int, default=None, help=f"waiting jobs; by default 100 times --jobs ({BACKLOG:,})")
    parser.add_argument("--processes", type=int, nargs="*", default=PROCESSES, help="preprocess apps, and as many workers")
    given = parser.parse_args()
    report = Report("bench_scaling", given)
    settings = Settings()
    bundle = open_bundle(settings.models_dir / settings.worker_model)
    texts = real_texts(given.jobs * max(given.processes), bundle, given.data)
    tokens = sum(len(window) for text in windows_of(texts.texts[: given.jobs], bundle) for window in text) / given.jobs
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as name, any_broker(Path(name)) as broker:
        folder = Path(name)
        models = device_bundle(folder / "models", bundle).folder.parent
        bench = _Bench(broker, folder, {"LLMOS_MODELS_DIR": str(models), "LLMOS_WORKER_PROVIDER": "cpu"}, tokens)
        levels = [bench.level(count, texts.texts[: given.jobs * count]) for count in given.processes]
        report.say(f"scaling is measured; now a backlog on {broker.name} …")
        waiting = given.backlog or BACKLOG * given.jobs // JOBS
        recovery = bench.recover(texts.texts, waiting)
    against_the_first(levels)
    figures = {"jobs": given.jobs, "texts": texts.source, "broker": broker.name, "levels": levels, "recovery": recovery}
    report.finish(figures, *_tables(levels, recovery))


class _Bench:
    def __init__(self, broker: Broker, folder: Path, changes: dict[str, str], tokens: float) -> None:
        self._broker = broker
        self._folder = folder
        self._changes = changes
        self._tokens = tokens
        """Of a text, on average."""

    def _stages(self, name: str, count: int, texts_per_s: float) -> AbstractContextManager[Stages]:
        changes = {**self._changes, VARIABLE: str(round(1e9 / texts_per_s / self._tokens))}
        return stages(self._broker, self._folder, name=name, preprocess=count, workers=count, worker=MODULE, changes=changes)

    def level(self, count: int, texts: Sequence[str]) -> dict[str, Any]:
        """So many processes of each stage, and as many times the texts."""
        with self._stages(f"bench-scaling-{count}", count, TEXTS_PER_S) as system:
            warm_up(system, self._folder, texts)
            driven = drive(system, self._folder, texts, "bulk")
        return {
            "processes": count,
            "missing": driven.jobs - driven.came,
            "texts_per_s": round(driven.texts_per_s, 1),
            "cpu_us_per_job": round(sum(driven.cpu_us_per_job().values()), 1),
        }

    def recover(self, texts: Sequence[str], jobs: int) -> dict[str, Any]:
        """Work off `jobs` waiting jobs with two processes of each stage."""
        waiting = list(islice(cycle(texts), jobs))
        with stages(self._broker, self._folder, name=_BACKLOG, preprocess=0, workers=0) as idle:
            driven, start_s = work_off(idle, self._start_two, self._folder, waiting)
        return {
            "jobs": jobs,
            "missing": driven.jobs - driven.came,
            "start_s": round(start_s, 1),
            "seconds": round(driven.seconds, 1),
            "texts_per_s": round(driven.texts_per_s, 1),
            "cpu_us_per_job": round(sum(driven.cpu_us_per_job().values()), 1),
            "peak_mib": {stage: used.peak_bytes >> 20 for stage, used in driven.usage.items()},
        }

    def _start_two(self) -> AbstractContextManager[Stages]:
        return self._stages(_BACKLOG, 2, _FAST * TEXTS_PER_S)


def against_the_first(levels: list[dict[str, Any]]) -> None:
    """Adds to each level what share it reaches of the first one, times the processes."""
    for level in levels:
        linear = levels[0]["texts_per_s"] * level["processes"] / levels[0]["processes"]
        level["of_linear"] = round(level["texts_per_s"] / linear, 3)


def _tables(levels: list[dict[str, Any]], recovery: dict[str, Any]) -> tuple[Table, Table]:
    columns = ("processes", "texts_per_s", "of_linear", "cpu_us_per_job", "missing")
    scaling = table(
        f"processes of each stage, a device of {TEXTS_PER_S} texts/s each",
        columns,
        [[level[name] for name in columns] for level in levels],
    )
    return scaling, table("a backlog, two processes of each stage, two fast devices", ("", "value"), recovery.items())


if __name__ == "__main__":
    main()
