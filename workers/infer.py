"""Runs windows through a model, several runs side by side, so that one bad row costs only itself.

A failing run is halved until the failing row is alone. Out of memory halves the token budget instead, which recovers slowly.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import numpy.typing as npt

from pipeline import metrics
from schemas.errors import TransientError
from workers.plan import BUCKETS, Rows, padded, plan
from workers.session import Ids, Logits

_LOG = logging.getLogger(__name__)
_MEMORY_SIGNS: Final = ("out of memory", "failed to allocate", "bad_alloc", "bad allocation", "cudaerrormemoryallocation")
_DEVICE_SIGNS: Final = ("cuda failure", "cudnn failure", "cublas failure", "cuda error", "device-side assert", "device lost")
BUDGET_MIN: Final = 128
RECOVERY_RUNS: Final = 64
"""Good runs after which a reduced budget grows by a quarter."""

Window = npt.NDArray[np.unsignedinteger]


class Inference:
    """Logits for windows. Any thread may ask; `at_once` runs of the model, of all who ask, go side by side."""

    def __init__(
        self,
        run: Callable[[Ids, Ids], Logits],
        *,
        labels: int,
        pad_id: int,
        tokens_max: int,
        model: str,
        at_once: int = 1,
        buckets: Sequence[int] = BUCKETS,
    ) -> None:
        self._run = run
        self._labels = labels
        self._pad_id = pad_id
        self._tokens_max = tokens_max
        self._model = model
        self._threads = ThreadPoolExecutor(at_once, "run")
        self._busy = threading.Lock()
        self.buckets = buckets
        self.mixed = False
        """Whether windows of several lengths may share a run: only where padding changes nothing, see `workers.prove`."""
        self.budget = tokens_max
        self.runs = 0
        """Runs of the model so far: a sign of life for the watchdog."""
        self._good_runs = 0

    def logits(self, windows: Sequence[Window]) -> Logits:
        """Logits [windows, labels]; NaN where the model failed on that window.

        Raises TransientError for a lost device, and where there is no memory for a single window.
        """
        outcome = np.full((len(windows), self._labels), np.nan, np.float32)
        runs = [*plan([len(window) for window in windows], self.budget, self.buckets, mixed=self.mixed)]
        longest_first = reversed(runs)  # so that no long one is left alone at the end
        for _ in self._threads.map(lambda rows: self._fill(outcome, rows, windows), longest_first):
            pass
        return outcome

    def padded_logits(self, window: Window, more: int) -> Logits:
        """Logits [1, labels] of `window` with `more` tokens of padding than it needs."""
        ids, mask = self._tensor([window])
        wider = ((0, 0), (0, more))
        return self._run(np.pad(ids, wider, constant_values=self._pad_id), np.pad(mask, wider))

    def _fill(self, outcome: Logits, rows: Rows, windows: Sequence[Window]) -> None:
        ids, mask = self._tensor([windows[row] for row in rows])
        try:
            logits = self._timed(ids, mask)
        except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors share no base class)
            self._look_at(error, ids)
            if len(rows) == 1:
                _LOG.warning("the model failed on one window: %s", error)
                return
            half = len(rows) // 2
            self._fill(outcome, rows[:half], windows)
            self._fill(outcome, rows[half:], windows)
            return
        assert logits.shape == (len(ids), self._labels), "one row of logits a row of ids"
        outcome[rows] = np.where(np.isfinite(logits), logits, np.nan)
        self._recover()

    def _tensor(self, windows: Sequence[Window]) -> tuple[Ids, Ids]:
        width = int(padded([max(len(window) for window in windows)], self.buckets)[0])
        ids = np.full((len(windows), width), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        metrics.BATCH_ROWS.labels(self._model).inc(len(windows))
        metrics.BATCH_TOKENS.labels(self._model).inc(int(mask.sum()))
        metrics.BATCH_PADDED_TOKENS.labels(self._model).inc(ids.size)
        return ids, mask

    def _timed(self, ids: Ids, mask: Ids) -> Logits:
        started = time.perf_counter()
        logits = self._run(ids, mask)
        with self._busy:
            self.runs += 1
        metrics.BATCH_RUN_SECONDS.labels(self._model).observe(time.perf_counter() - started)
        return logits

    def _look_at(self, error: Exception, ids: Ids) -> None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS):
            if len(ids) == 1:  # the machine's trouble, not the text's: no window is long
                raise TransientError(f"out of memory for a single window: {error}") from error
            with self._busy:
                self.budget = max(BUDGET_MIN, min(self.budget, ids.size // 2))
                self._good_runs = 0
            _LOG.warning("out of memory: token budget is now %d", self.budget)
        elif isinstance(error, TransientError) or any(sign in text for sign in _DEVICE_SIGNS):
            raise TransientError(f"the device is lost: {error}") from error

    def _recover(self) -> None:
        with self._busy:
            self._good_runs += 1
            if self.budget < self._tokens_max and self._good_runs >= RECOVERY_RUNS:
                self.budget = min(self._tokens_max, self.budget * 5 // 4)
                self._good_runs = 0
