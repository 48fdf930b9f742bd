"""The pipeline from Kafka to Kafka against the model alone, in one run on the same cores.

    python -m benchmarks.bench_pipeline [--jobs 100000]

Runs the model alone, then the pipeline with that model, then the model alone again: efficiency is the pipeline's texts a second
over the mean of the two. Then the pipeline once more with a simulated device in place of the model, as slow as the model but
without any use of the CPU: what is used then is overhead, all of it and nothing else.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.support.brokers import Broker, any_broker
from benchmarks.support.bundles import device_bundle
from benchmarks.support.ceiling import Ceiling
from benchmarks.support.device import MODULE, VARIABLE
from benchmarks.support.drive import Driven, drive, warm_up
from benchmarks.support.report import Report, arguments, rounded, table
from benchmarks.support.stages import stages
from benchmarks.support.texts import Texts, real_texts, windows_of
from pipeline.bundles import Bundle, open_bundle
from pipeline.settings import Settings

JOBS: Final = 100_000
_CEILING_TEXTS: Final = 10_000
"""Of the model alone, each time: enough to be steady, and the lengths are those of all."""
_PART, _PART_MIN = 5, 5_000
"""One job in so many, and so many at least, are sent again one a record, and through the device."""
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What a pair of runs, many jobs a record and one a record, has given; `budget` is the worker's, in tokens a run."""

    bulk: Driven
    single: Driven
    budget: int


def main() -> None:
    """Measure, print, end with a line of JSON."""
    given = arguments(__doc__, JOBS).parse_args()
    report = Report("bench_pipeline", given)
    settings = Settings()
    bundle = open_bundle(settings.models_dir / settings.worker_model)
    texts = real_texts(given.jobs, bundle, given.data)
    ceiling = Ceiling(bundle, windows_of(texts.texts[:_CEILING_TEXTS], bundle))
    report.say("looking for the best layout of the model alone …")
    layout, _ = ceiling.best()
    before = ceiling.measure(layout).texts_per_s
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder, any_broker(Path(folder)) as broker:
        report.say(f"the model alone: {before:.0f} texts/s; now the pipeline on {broker.name} …")
        model = _measure(broker, Path(folder), texts.texts, "bench-model")
        after = ceiling.measure(layout).texts_per_s
        report.say(f"the model alone again: {after:.0f} texts/s; now the pipeline with a simulated device …")
        device = _measure_device(broker, Path(folder), _part(texts.texts), bundle, model.bulk.texts_per_s)
    figures = _figures(texts, broker, (before, after), model, device)
    report.finish(figures, _speeds(figures), _cpu(figures), _memory(figures))


def _part(texts: Sequence[str]) -> Sequence[str]:
    return texts[: max(_PART_MIN, len(texts) // _PART)]


def _measure(broker: Broker, folder: Path, texts: Sequence[str], name: str, **running: Any) -> Measured:  # noqa: ANN401 (of `stages`)
    with stages(broker, folder, name=name, **running) as system:
        warm_up(system, folder, texts)
        bulk = drive(system, folder, texts, "bulk")
        single = drive(system, folder, _part(texts), "single")
        return Measured(bulk, single, system.settings.worker_batch_tokens)


def _measure_device(broker: Broker, folder: Path, texts: Sequence[str], bundle: Bundle, texts_per_s: float) -> Measured:
    """The same with a device that is as fast as the pipeline was with its model."""
    like = device_bundle(folder / "models", bundle)
    tokens = sum(len(window) for text in windows_of(texts, bundle) for window in text) / len(texts)
    changes = {"LLMOS_MODELS_DIR": str(like.folder.parent), "LLMOS_WORKER_PROVIDER": "cpu"}
    return _measure(
        broker,
        folder,
        texts,
        "bench-device",
        worker=MODULE,
        changes={**changes, VARIABLE: str(round(1e9 / texts_per_s / tokens))},
    )


def _figures(texts: Texts, broker: Broker, ceiling: tuple[float, float], model: Measured, device: Measured) -> dict[str, Any]:
    limit = sum(ceiling) / 2
    return {
        "jobs": model.bulk.jobs,
        "missing": model.bulk.jobs - model.bulk.came,
        "texts": texts.source,
        "broker": broker.name,
        "ceiling_texts_per_s": [round(one, 1) for one in ceiling],
        "texts_per_s": round(model.bulk.texts_per_s, 1),
        "efficiency": round(model.bulk.texts_per_s / limit, 3),
        "single_texts_per_s": round(model.single.texts_per_s, 1),
        "single_efficiency": round(model.single.texts_per_s / limit, 3),
        "padding_ratio": round(model.bulk.batches.padding_ratio, 3),
        "batch_fill": round(model.bulk.batches.fill(model.budget), 3),
        "cpu_us_per_job": rounded(model.bulk.cpu_us_per_job()),
        "single_cpu_us_per_job": rounded(model.single.cpu_us_per_job()),
        "overhead_us_per_job": _with_sum(device.bulk),
        "single_overhead_us_per_job": _with_sum(device.single),
        "resident_mib": {stage: used.resident_bytes // _MIB for stage, used in model.single.usage.items()},
        "peak_mib": {stage: used.peak_bytes // _MIB for stage, used in model.single.usage.items()},
    }


def _with_sum(driven: Driven) -> dict[str, float]:
    by_stage = driven.cpu_us_per_job()
    return rounded({**by_stage, "sum": sum(by_stage.values())})


def _speeds(figures: dict[str, Any]) -> Table:
    before, after = figures["ceiling_texts_per_s"]
    rows = [
        ("the model alone, before and after", f"{before:.0f}, {after:.0f}", "1"),
        ("the pipeline, many jobs a record", f"{figures['texts_per_s']:.0f}", figures["efficiency"]),
        ("the pipeline, one job a record", f"{figures['single_texts_per_s']:.0f}", figures["single_efficiency"]),
    ]
    note = f"{figures['jobs']:,} texts ({figures['texts']}) on {figures['broker']}"
    note += f"; padding ratio {figures['padding_ratio']}, batch fill {figures['batch_fill']}, missing {figures['missing']}"
    return table(note, ("", "texts/s", "efficiency"), rows)


def _cpu(figures: dict[str, Any]) -> Table:
    kinds = ("cpu_us_per_job", "single_cpu_us_per_job", "overhead_us_per_job", "single_overhead_us_per_job")
    columns = ("stage", "many a record", "one a record", "overhead, many", "overhead, one")
    rows = [(stage, *(figures[kind].get(stage, "") for kind in kinds)) for stage in figures["overhead_us_per_job"]]
    return table("CPU µs a job; overhead: with a device in place of the model", columns, rows)


def _memory(figures: dict[str, Any]) -> Table:
    rows = [(stage, figures["resident_mib"][stage], figures["peak_mib"][stage]) for stage in figures["resident_mib"]]
    return table("resident memory, MiB", ("stage", "at the end", "at most"), rows)


if __name__ == "__main__":
    main()
