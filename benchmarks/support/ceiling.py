"""The physical limit: the model alone on ready tensors, sorted by length, in the best layout that is found. No Kafka, no text."""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pipeline.bundles import Bundle
from pipeline.cores import cores
from pipeline.preprocess.tokenise import Ids
from schemas.bundles import ModelFile

Feed = dict[str, npt.NDArray[np.int64]]
BUDGETS: Final = (128, 256, 512, 1024, 2048)
"""Rows times longest row of one run, tried one after the other."""
_TRIES: Final = 3
_TRIED_TEXTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Layout:
    """So many runs at once, each of so many threads, that wait busily or not, of so many tokens with padding."""

    runs: int
    threads: int
    spinning: bool
    tokens: int


@dataclass(frozen=True, slots=True)
class Speed:
    """Of one pass; `tokens_per_s` without padding, `cpu_us_per_text` of all threads together."""

    texts_per_s: float
    tokens_per_s: float
    cpu_us_per_text: float
    padding_ratio: float


def layouts(cores: int) -> Iterator[Layout]:
    """All cores, as threads of one run or as runs of one thread."""
    for runs, threads, spinning in {(1, cores, False), (1, cores, True), (cores, 1, False)}:
        yield from (Layout(runs, threads, spinning, tokens) for tokens in BUDGETS)


class Ceiling:
    """Texts as windows of token ids, ready to be run in any layout; sessions are opened anew for each measuring."""

    def __init__(self, bundle: Bundle, texts: Sequence[Sequence[Ids]], precision: str = "int8") -> None:
        self._bundle = bundle
        self._file = model_file(bundle, precision)
        self._texts = texts

    def best(self) -> tuple[Layout, dict[Layout, float]]:
        """The fastest layout over some of the texts, and the texts/s of each: the best of a few tries, taken in turns."""
        some = self._texts[:_TRIED_TEXTS]
        found: dict[Layout, float] = {}
        for _ in range(_TRIES):
            for layout in layouts(cores()):
                found[layout] = max(found.get(layout, 0.0), self._pass(some, layout).texts_per_s)
        return max(found, key=found.__getitem__), found

    def measure(self, layout: Layout) -> Speed:
        """One pass over all texts."""
        return self._pass(self._texts, layout)

    def _pass(self, texts: Sequence[Sequence[Ids]], layout: Layout) -> Speed:
        session = open_session(self._bundle, self._file, layout)
        feeds = list(
            batches([window for text in texts for window in text], layout.tokens, self._bundle.manifest.tokenizer.pad_id)
        )
        tokens = sum(int(feed["attention_mask"].sum()) for feed in feeds)
        padded = sum(feed["input_ids"].size for feed in feeds)

        def run(feed: Feed) -> Any:  # noqa: ANN401 (ONNX Runtime is untyped)
            return session.run(None, feed)

        run(feeds[0]), run(feeds[-1])
        gc.collect()
        began, cpu = time.perf_counter(), time.process_time()
        _run_all(run, feeds, layout.runs)
        seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        return Speed(len(texts) / seconds, tokens / seconds, cpu_s / len(texts) * 1e6, padded / tokens)


def _run_all(run: Callable[[Feed], object], feeds: Sequence[Feed], at_once: int) -> None:
    if at_once == 1:
        for feed in feeds:
            run(feed)
        return
    with ThreadPoolExecutor(at_once) as threads:
        for _ in threads.map(run, reversed(feeds)):  # the longest first, so that none is left alone at the end
            pass


def model_file(bundle: Bundle, precision: str) -> ModelFile:
    """The bundle's graph of that precision, or its first."""
    return next((file for file in bundle.manifest.models if file.precision == precision), bundle.manifest.models[0])


def open_session(bundle: Bundle, file: ModelFile, layout: Layout) -> ort.InferenceSession:
    """The graph on the CPU."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = layout.threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(layout.spinning)))
    return ort.InferenceSession(str(bundle.folder / file.file), options, providers=["CPUExecutionProvider"])


def batches(windows: Sequence[Ids], tokens_max: int, pad_id: int) -> Iterator[Feed]:
    """Tensors of all windows, sorted by length, padded to the longest of each: rows times it at most `tokens_max`, or one row."""
    group: list[Ids] = []
    for window in sorted(windows, key=len):
        if group and (len(group) + 1) * len(window) > tokens_max:
            yield tensors(group, pad_id)
            group = []
        group.append(window)
    if group:
        yield tensors(group, pad_id)


def tensors(windows: Sequence[Ids], pad_id: int) -> Feed:
    """Ids and mask [windows, longest]."""
    ids = np.full((len(windows), max(map(len, windows))), pad_id, np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = window
        mask[row, : len(window)] = 1
    return {"input_ids": ids, "attention_mask": mask}
