"""Collectors beside prometheus_client's own: one that counts arrays, and one that asks for its values when Prometheus asks."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import REGISTRY, CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
"""Values of a metric's labels, in their order: the name of one series."""


class Columns:
    """Some series of a histogram that are counted together; any thread may observe."""

    def __init__(self, bounds: npt.NDArray[np.float64], columns: int) -> None:
        self._bounds = bounds
        self._offsets = np.arange(columns) * (len(bounds) + 1)
        self._counts = np.zeros((columns, len(bounds) + 1), np.int64)
        self._sums = np.zeros(columns)
        self._busy = threading.Lock()

    def observe(self, values: npt.ArrayLike) -> None:
        """Count `values` [n, columns], each column into its own series; what is not finite is passed over."""
        array = np.asarray(values, np.float64).reshape(-1, len(self._offsets))
        finite = np.isfinite(array)
        cells = (np.searchsorted(self._bounds, array) + self._offsets)[finite]  # a bucket holds its upper bound
        counts = np.bincount(cells, minlength=self._counts.size).reshape(self._counts.shape)
        sums = np.where(finite, array, 0).sum(axis=0)
        with self._busy:
            self._counts += counts
            self._sums += sums

    def totals(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Counts up to each bound and of all [columns, bounds + 1], and sums [columns]."""
        with self._busy:
            return self._counts.cumsum(axis=1), self._sums.copy()


class BatchHistogram(Collector):
    """A histogram that is fed with arrays: what it costs is a matter of batches and not of jobs."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labelnames: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._name, self._documentation, self.labelnames = name, documentation, tuple(labelnames)
        self._bounds = np.array(buckets, np.float64)
        self._columns: dict[tuple[Labels, ...], Columns] = {}
        registry.register(self)

    def columns(self, *series: Labels) -> Columns:
        """Where these series are counted, column by column; the same for the same ones. A series has one place only."""
        return self._columns.setdefault(series, Columns(self._bounds, len(series)))

    def describe(self) -> Iterable[Metric]:
        """The family without a sample."""
        return [HistogramMetricFamily(self._name, self._documentation, labels=self.labelnames)]

    def collect(self) -> Iterable[Metric]:
        """The family as Prometheus wants it: every bucket holds those below it."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self.labelnames)
        bounds = [*map(repr, self._bounds.tolist()), "+Inf"]
        for series, columns in list(self._columns.items()):
            for labels, counts, total in zip(series, *columns.totals(), strict=True):
                family.add_metric(labels, list(zip(bounds, counts.astype(float).tolist(), strict=True)), float(total))
        return [family]


class AskedGauge(Collector):
    """A gauge whose series are asked for whenever Prometheus asks: what is gone by then is not there any more."""

    def __init__(
        self, name: str, documentation: str, labelnames: Sequence[str], *, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name, self._documentation, self.labelnames = name, documentation, tuple(labelnames)
        self._ask: Callable[[], Mapping[Labels, float]] = dict
        registry.register(self)

    def follow(self, ask: Callable[[], Mapping[Labels, float]]) -> None:
        """Show what `ask` returns from now on. It is called from Prometheus' thread, and must neither wait nor raise."""
        self._ask = ask

    def describe(self) -> Iterable[Metric]:
        """The family without a sample."""
        return [GaugeMetricFamily(self._name, self._documentation, labels=self.labelnames)]

    def collect(self) -> Iterable[Metric]:
        """The family as it is now."""
        family = GaugeMetricFamily(self._name, self._documentation, labels=self.labelnames)
        for labels, value in self._ask().items():
            family.add_metric(labels, value)
        return [family]
