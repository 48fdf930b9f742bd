"""The pipeline with an NVIDIA GPU: the model alone in the ways in which it can be fed, then Kafka to Kafka.

    python -m benchmarks.bench_gpu [--jobs 200000]

Says so and measures nothing where there is no GPU. The model is a stand-in of the shipped one's size in half precision, since
its int8 graph is made for CPUs. Overhead is the CPU time of everything, the worker's waiting for the GPU not counted.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks.support import gpu
from benchmarks.support.brokers import Broker, any_broker
from benchmarks.support.bundles import encoder_bundle
from benchmarks.support.ceiling import batches
from benchmarks.support.drive import drive, warm_up
from benchmarks.support.report import Report, arguments, rounded, table
from benchmarks.support.stages import stages
from benchmarks.support.texts import real_texts, windows_of
from pipeline.bundles import Bundle, open_bundle
from pipeline.cores import cores
from pipeline.settings import Settings

JOBS: Final = 200_000
_ALONE_TEXTS: Final = 20_000
BATCH_TOKENS: Final = 16_384
"""Rows times longest row of one run: enough to fill a large GPU with a small model."""
PREPROCESS: Final = (1, 4, 8)
WAYS: Final[dict[str, Callable[[Path], gpu.Run]]] = {
    "plain": gpu.plain,
    "IO binding": gpu.bound,
    "CUDA graphs": gpu.cuda_graphs,
    "TensorRT": gpu.tensorrt,
}


def main() -> None:
    """Measure, print, end with a line of JSON."""
    given = arguments(__doc__, JOBS).parse_args()
    report = Report("bench_gpu", given)
    name = gpu.gpu_name()
    if not name:
        report.say("no NVIDIA GPU on this machine, or no ONNX Runtime that can use it: nothing is measured")
        report.finish({"gpu": None})
        return
    settings = Settings()
    like = open_bundle(settings.models_dir / settings.worker_model)
    texts = real_texts(given.jobs, like, given.data)
    with tempfile.TemporaryDirectory(prefix="llmos-bench-") as folder, any_broker(Path(folder)) as broker:
        bundle = encoder_bundle(Path(folder) / "models", like, "fp16")
        alone = _alone(bundle, texts.texts[:_ALONE_TEXTS])
        report.say(f"alone, texts/s: {alone}")
        rows = [_through(broker, Path(folder), bundle, count, texts.texts) for count in PREPROCESS if count < cores()]
    limit = max(rate for rate in alone.values() if isinstance(rate, float))
    for row in rows:
        row["efficiency"] = round(row["texts_per_s"] / limit, 3)
    figures = {"gpu": name, "jobs": given.jobs, "texts": texts.source, "broker": broker.name, "alone_texts_per_s": alone}
    report.finish({**figures, "pipeline": rows}, _alone_table(name, alone), _pipeline_table(rows))


def _alone(bundle: Bundle, texts: Sequence[str]) -> dict[str, float | str]:
    """Texts a second of each way to feed the GPU, or why it cannot be had here."""
    windows = [window for text in windows_of(texts, bundle) for window in text]
    feeds = list(batches(windows, BATCH_TOKENS, bundle.manifest.tokenizer.pad_id))
    found: dict[str, float | str] = {}
    for way, made in WAYS.items():
        try:
            found[way] = round(len(texts) / gpu.seconds(made(bundle.folder / "model.onnx"), feeds), 1)
        except Exception as error:  # noqa: BLE001 (whatever a library that is not there raises costs only its own row)
            found[way] = f"{type(error).__name__}: {error}"[:200]
    return found


def _through(broker: Broker, folder: Path, bundle: Bundle, preprocess: int, texts: Sequence[str]) -> dict[str, Any]:
    changes = {
        "LLMOS_MODELS_DIR": str(bundle.folder.parent),
        "LLMOS_WORKER_PROVIDER": "cuda",
        "LLMOS_WORKER_BATCH_TOKENS": str(BATCH_TOKENS),
    }
    with stages(broker, folder, name=f"bench-gpu-{preprocess}", preprocess=preprocess, changes=changes) as system:
        warm_up(system, folder, texts)
        with gpu.busy_shares() as shares:
            driven = drive(system, folder, texts, "bulk")
    return {
        "preprocess": preprocess,
        "missing": driven.jobs - driven.came,
        "texts_per_s": round(driven.texts_per_s, 1),
        "gpu_busy": round(sum(shares) / max(1, len(shares)), 3),
        "cpu_us_per_job": rounded(driven.cpu_us_per_job()),
        "padding_ratio": round(driven.batches.padding_ratio, 3),
    }


def _alone_table(name: str, alone: dict[str, float | str]) -> Table:
    return table(f"the model alone on {name}", ("way", "texts/s"), alone.items())


def _pipeline_table(rows: Sequence[dict[str, Any]]) -> Table:
    columns = ("preprocess", "texts_per_s", "efficiency", "gpu_busy", "padding_ratio", "missing")
    cpu = [sum(row["cpu_us_per_job"].values()) for row in rows]
    values = [(*(row[name] for name in columns), f"{one:.0f}") for row, one in zip(rows, cpu, strict=True)]
    return table("Kafka to Kafka", (*columns, "CPU µs a job"), values)


if __name__ == "__main__":
    main()
