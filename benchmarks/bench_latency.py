"""Latency under open-loop load, with the settings of the bulk figure: from the moment a job is due to its result in a reader.

    python -m benchmarks.bench_latency [--jobs 5000]

Jobs come one a record at random times, at shares of the capacity that is measured first. A job that cannot be sent in time,
because the system holds up its sender, has waited all the same: latencies count from the moment that it was due.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.support.brokers import any_broker
from benchmarks.support.drive import drive, warm_up
from benchmarks.support.latencies import latencies, schedule, summary_ms
from benchmarks.support.publisher import SEED
from benchmarks.support.report import Report, arguments, table
from benchmarks.support.stages import Stages, stages
from benchmarks.support.texts import real_texts
from pipeline.bundles import open_bundle
from pipeline.settings import Settings

JOBS: Final = 5_000
LOADS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
_CAPACITY_PARTS: Final = 4
"""The capacity is measured with so many times the jobs of a load."""


def main() -> None:
    """Measure, print, end with a line of JSON."""
    parser = arguments(__doc__, JOBS)
    parser.add_argument("--loads", type=float, nargs="*", default=LOADS, help="shares of the capacity")
    given = parser.parse_args()
    report = Report("bench_latency", given)
    settings = Settings()
    texts = real_texts(_CAPACITY_PARTS * given.jobs, open_bundle(settings.models_dir / settings.worker_model), given.data)
    with (
        tempfile.TemporaryDirectory(prefix="llmos-bench-") as name,
        any_broker(Path(name)) as broker,
        stages(broker, Path(name), name="bench-latency") as system,
    ):
        folder = Path(name)
        warm_up(system, folder, texts.texts)
        capacity = drive(system, folder, texts.texts, "single").texts_per_s
        report.say(f"capacity {capacity:.0f} texts/s, one job a record, on {broker.name}")
        levels = []
        for load in given.loads:
            levels.append(_level(system, folder, texts.texts[: given.jobs], load, capacity))
            report.say(json.dumps(levels[-1]))
    figures = {
        "jobs": given.jobs,
        "texts": texts.source,
        "broker": broker.name,
        "capacity_texts_per_s": round(capacity, 1),
        "levels": levels,
    }
    names = ("p50", "p90", "p99", "p99.9")
    rows = [
        (f"{level['load']:.0%}", level["texts_per_s"], *(level["ms"][name] for name in names), level["missing"])
        for level in levels
    ]
    columns = ("load", "texts/s", *(f"{name}, ms" for name in names), "missing")
    report.finish(figures, table(f"latency, {given.jobs:,} jobs a load, capacity {capacity:.0f} texts/s", columns, rows))


def _level(system: Stages, folder: Path, texts: list[str], load: float, capacity: float) -> dict[str, Any]:
    rate, file = load * capacity, folder / "arrivals.json"
    driven = drive(system, folder, texts, str(rate), file)
    arrived = {int(number): moment for number, moment in json.loads(file.read_text("utf-8")).items()}
    due = [driven.began + moment for moment in schedule(rate, len(texts), SEED)]
    return {
        "load": load,
        "texts_per_s": round(rate, 1),
        "missing": driven.jobs - driven.came,
        "ms": summary_ms(latencies(due, arrived, driven.began + driven.seconds)),
    }


if __name__ == "__main__":
    main()
