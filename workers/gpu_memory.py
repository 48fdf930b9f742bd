"""The memory of GPUs for Prometheus, as NVIDIA's driver tells it: of every GPU that this process may see, whoever uses it."""

import logging
from collections.abc import Mapping
from types import ModuleType

from pipeline import metrics
from pipeline.collectors import Labels

_LOG = logging.getLogger(__name__)


def show_gpu_memory() -> None:
    """Have Prometheus ask the driver from now on; where that cannot be asked, the log says so once, and nothing is shown."""
    try:
        import pynvml as driver  # noqa: PLC0415 (only the extra `gpu` brings it)

        driver.nvmlInit()
    except Exception as error:  # noqa: BLE001 (no library, no driver, no right: a worker works without)
        _LOG.warning("the memory of GPUs is not shown: %r", error)
        return
    metrics.GPU_MEMORY.follow(lambda: _memory(driver, "total"))
    metrics.GPU_MEMORY_USED.follow(lambda: _memory(driver, "used"))


def _memory(driver: ModuleType, which: str) -> Mapping[Labels, float]:
    try:
        handles = [driver.nvmlDeviceGetHandleByIndex(number) for number in range(driver.nvmlDeviceGetCount())]
        return {(str(number),): getattr(driver.nvmlDeviceGetMemoryInfo(handle), which) for number, handle in enumerate(handles)}
    except driver.NVMLError as error:  # a device that is lost is the model's to notice
        _LOG.debug("the driver does not tell: %r", error)
        return {}
