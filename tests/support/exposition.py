"""Metrics: as they stand in this process, and as their one file describes them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import REGISTRY, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from pipeline import metrics
from pipeline.collectors import AskedGauge, BatchHistogram

SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "info": ("_info",),
    "histogram": ("_bucket", "_sum", "_count"),
}
_KINDS: Final = (MetricWrapperBase, AskedGauge, BatchHistogram)


@dataclass(frozen=True)
class Described:
    """A metric as it is declared."""

    family: str
    kind: str
    labels: frozenset[str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of its series."""
        return tuple(f"{self.family}{suffix}" for suffix in SUFFIXES[self.kind])

    @property
    def shown(self) -> str:
        """How people call it: as its series, or as a histogram's trunk."""
        return self.family if self.kind == "histogram" else self.names[0]


def sample(name: str, **labels: str) -> float:
    """The value of one series in this process; 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def declared() -> list[Described]:
    """Every metric of `pipeline.metrics`."""
    return [_described(value) for value in vars(metrics).values() if isinstance(value, _KINDS)]


def _described(collector: Any) -> Described:
    (family,) = collector.describe()
    names = getattr(collector, "labelnames", None) or getattr(collector, "_labelnames", ())
    return Described(family.name, family.type, frozenset(names))


def families(exposition: str) -> Iterator[Metric]:
    """What a process tells Prometheus."""
    return text_string_to_metric_families(exposition)
