"""The memory of GPUs, with a driver that a test makes up."""

import logging
import sys
from types import ModuleType, SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from pipeline import metrics
from pipeline.collectors import AskedGauge
from workers.gpu_memory import show_gpu_memory

GIB = 1 << 30


class NVMLError(Exception):
    """As the driver's library calls its errors."""


class Driver(ModuleType):
    """Two GPUs, as `pynvml` shows them."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.there = True
        self.used = [3 * GIB, 0]

    def nvmlInit(self) -> None:  # noqa: N802 (the library's name)
        self._answer()

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._answer()
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        return number

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:  # noqa: N802
        return SimpleNamespace(total=16 * GIB, used=self.used[handle])

    def _answer(self) -> None:
        if not self.there:
            raise NVMLError


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    """Where the memory is shown in this test."""
    made = CollectorRegistry()
    monkeypatch.setattr(metrics, "GPU_MEMORY", AskedGauge("total", "All.", ["gpu"], registry=made))
    monkeypatch.setattr(metrics, "GPU_MEMORY_USED", AskedGauge("used", "Used.", ["gpu"], registry=made))
    return made


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    return made


def memory(registry: CollectorRegistry) -> list[tuple[float | None, float | None]]:
    """Used and total of both GPUs."""
    return [(registry.get_sample_value("used", {"gpu": gpu}), registry.get_sample_value("total", {"gpu": gpu})) for gpu in "01"]


def test_every_gpu_is_shown_as_it_is_now(registry: CollectorRegistry, driver: Driver) -> None:
    show_gpu_memory()
    driver.used[1] = 5 * GIB
    assert memory(registry) == [(3 * GIB, 16 * GIB), (5 * GIB, 16 * GIB)]


def test_a_device_that_is_lost_later_takes_its_numbers_with_it_and_nothing_else(
    registry: CollectorRegistry, driver: Driver
) -> None:
    show_gpu_memory()
    driver.there = False
    assert memory(registry) == [(None, None)] * 2


def test_without_a_driver_nothing_is_shown(registry: CollectorRegistry, driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    driver.there = False
    with caplog.at_level(logging.WARNING):
        show_gpu_memory()
    assert memory(registry) == [(None, None)] * 2
    assert "not shown" in caplog.text


def test_without_the_library_nothing_is_shown(registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    show_gpu_memory()
    assert memory(registry) == [(None, None)] * 2
