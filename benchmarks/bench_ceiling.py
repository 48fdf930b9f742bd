"""The physical limit: the model alone and the tokenizer alone, on the texts that all other benchmarks send through the pipeline.

    python -m benchmarks.bench_ceiling [--jobs 10000]

The model runs on ready tensors, sorted by length, in every layout of threads and batch sizes; the best one counts.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from rich.table import Table

from benchmarks.support.ceiling import Ceiling, Layout, Speed, model_file
from benchmarks.support.report import Report, arguments, table
from benchmarks.support.texts import real_texts, windows_of
from pipeline.bundles import open_bundle
from pipeline.cores import cores
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.settings import Settings
from pipeline.text.normalise import normalise

JOBS: Final = 10_000
_PASSES: Final = 3
_AT_ONCE: Final = 500
"""Texts in one call of the tokenizer: about as many as preprocess has under load."""
_PARALLEL: Final = {"all cores": "true", "one core": "false"}


def main() -> None:
    """Measure, print, end with a line of JSON."""
    given = arguments(__doc__, JOBS).parse_args()
    report = Report("bench_ceiling", given)
    settings = Settings()
    bundle = open_bundle(settings.models_dir / settings.worker_model)
    texts = real_texts(given.jobs, bundle, given.data)
    ceiling = Ceiling(bundle, windows_of(texts.texts, bundle))
    report.say(f"{given.jobs:,} texts ({texts.source}); looking for the best layout …")
    layout, tried = ceiling.best()
    report.say(f"measuring {layout} …")
    speed = max((ceiling.measure(layout) for _ in range(_PASSES)), key=lambda one: one.texts_per_s)
    normalised = [normalise(text).text for text in texts.texts]
    tokenizers = {name: _tokenizer(Tokenizer(bundle).encode_batch, normalised, parallel) for name, parallel in _PARALLEL.items()}
    report.finish(
        {
            "jobs": given.jobs,
            "texts": texts.source,
            "precision": model_file(bundle, "int8").precision,
            "texts_per_s": round(speed.texts_per_s, 1),
            "tokens_per_s": round(speed.tokens_per_s),
            "cpu_us_per_text": round(speed.cpu_us_per_text),
            "layout": {"runs": layout.runs, "threads": layout.threads, "spinning": layout.spinning, "tokens": layout.tokens},
            "tokenizer_texts_per_s": {name: round(rate) for name, (rate, _) in tokenizers.items()},
            "tokenizer_cpu_us_per_text": {name: round(cpu, 1) for name, (_, cpu) in tokenizers.items()},
        },
        _layouts(tried),
        _limits(speed, tokenizers),
    )


def _tokenizer(encode: Callable[[list[str]], object], texts: list[str], parallel: str) -> tuple[float, float]:
    """Texts a second and CPU microseconds a text."""
    os.environ["TOKENIZERS_PARALLELISM"] = parallel
    encode(texts[:_AT_ONCE])
    began, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), _AT_ONCE):
        encode(texts[start : start + _AT_ONCE])
    return len(texts) / (time.perf_counter() - began), (time.process_time() - cpu) / len(texts) * 1e6


def _layouts(tried: dict[Layout, float]) -> Table:
    fastest = max(tried.values())
    rows = [
        (f"{one.runs} of {one.threads}", "yes" if one.spinning else "no", one.tokens, f"{rate:.0f}", f"{rate / fastest:.2f}")
        for one, rate in sorted(tried.items(), key=lambda item: -item[1])
    ]
    return table(f"layouts on {cores()} cores", ("runs of threads", "spinning", "tokens a run", "texts/s", "of the best"), rows)


def _limits(speed: Speed, tokenizers: dict[str, tuple[float, float]]) -> Table:
    rows = [("the model alone", f"{speed.texts_per_s:.0f}", f"{speed.tokens_per_s:.0f}", f"{speed.cpu_us_per_text:.0f}")]
    rows += [(f"the tokenizer, {name}", f"{rate:.0f}", "", f"{cpu:.0f}") for name, (rate, cpu) in tokenizers.items()]
    return table("limits", ("", "texts/s", "tokens/s", "CPU µs a text"), rows)


if __name__ == "__main__":
    main()
