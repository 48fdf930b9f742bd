"""The only module that knows ONNX Runtime: opens a bundle's graph and runs it.

In: int64 ids and mask [rows, tokens]. Out: float32 logits [rows, labels].
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from pipeline import metrics
from pipeline.bundles import Bundle, verify_file
from pipeline.cores import cores
from pipeline.settings import Settings
from schemas.bundles import ModelFile
from schemas.errors import BundleError, ConfigurationError
from workers.gpu_memory import show_gpu_memory
from workers.plan import BUCKETS, GPU_BUCKETS

_LOG = logging.getLogger(__name__)
_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_GPU_NODES: Final = (Path("/dev/nvidiactl"), Path("/dev/dxg"))
"""Device nodes of NVIDIA's driver on Linux, and under Windows' Linux."""
_PREFERRED: Final[dict[str, tuple[str, ...]]] = {"cpu": ("int8", "fp32", "fp16"), "cuda": ("fp16", "fp32")}

_CUDA_OPTIONS: Final = {"arena_extend_strategy": "kSameAsRequested"}
_OPTIMIZATION: Final = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

Ids = npt.NDArray[np.int64]
Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Session:
    """An open graph: `file` of the bundle, which `provider` really runs, `at_once` runs of it side by side."""

    graph: ort.InferenceSession
    file: ModelFile
    provider: str
    at_once: int

    @property
    def buckets(self) -> Sequence[int]:
        """Lengths to pad to where it runs."""
        return BUCKETS if self.provider == _PROVIDERS["cpu"] else GPU_BUCKETS

    def run(self, ids: Ids, mask: Ids) -> Logits:
        """Logits [rows, labels]; raises whatever ONNX Runtime raises."""
        (logits,) = self.graph.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        return logits  # type: ignore[no-any-return]


def open_session(bundle: Bundle, settings: Settings) -> Session:
    """The bundle's graph for this machine; raises BundleError for a damaged one, ConfigurationError for what cannot be had."""
    device = _device(settings.worker_provider)
    file = _choose(bundle, settings.worker_precision, device)
    path = verify_file(bundle, file.file, file.sha256)
    try:
        graph = ort.InferenceSession(str(path), _options(device, settings), providers=_providers(device, settings))
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise BundleError(f"model bundle {bundle.folder}: {file.file} cannot be opened: {error}") from error
    _check(graph, bundle, file)
    session = Session(graph, file, graph.get_providers()[0], (settings.worker_threads or cores()) if device == "cpu" else 1)
    if settings.worker_provider == "cuda" and session.provider != _PROVIDERS["cuda"]:
        raise ConfigurationError(f"CUDA was asked for, but ONNX Runtime fell back to {session.provider}")
    metrics.PROVIDER.labels(bundle.manifest.name, session.provider, file.precision).set(1)
    if session.provider == _PROVIDERS["cuda"]:
        show_gpu_memory()
    metrics.MODEL.labels(bundle.manifest.name).info({"release": bundle.manifest.release})
    _LOG.info("model %s %s, %s on %s", bundle.manifest.name, bundle.manifest.release, file.precision, session.provider)
    return session


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> str:
    there = _PROVIDERS["cuda"] in ort.get_available_providers()
    if wanted == "cuda" and not there:
        raise ConfigurationError("CUDA was asked for, but this onnxruntime has no CUDA provider: pip install 'llmos[gpu]'")
    # The provider is compiled in whether or not there is a GPU, and complains at length where there is none.
    tried = there and any(node.exists() for node in _GPU_NODES)
    return "cuda" if wanted == "cuda" or (wanted == "auto" and tried) else "cpu"


def _choose(bundle: Bundle, wanted: str, device: str) -> ModelFile:
    by_precision = {file.precision: file for file in bundle.manifest.models}
    candidates = _PREFERRED[device] + _PREFERRED["cpu"] if wanted == "auto" else (wanted,)
    for precision in candidates:
        if precision in by_precision:
            return by_precision[precision]
    raise ConfigurationError(f"model {bundle.manifest.name} has no {wanted} graph; it has: {', '.join(by_precision)}")


def _options(device: str, settings: Settings) -> ort.SessionOptions:
    options = ort.SessionOptions()
    # On a CPU each thread has a run of its own: threads of one run wait for the slowest at every step, on shared cores above all.
    options.intra_op_num_threads = 1 if device == "cpu" else settings.worker_threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = _OPTIMIZATION[settings.worker_graph_optimization]
    options.enable_cpu_mem_arena = settings.worker_arena
    options.log_severity_level = 3  # errors only: it warns of every provider that is not there
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers(device: str, settings: Settings) -> list[str | tuple[str, dict[str, str]]]:
    if device == "cpu":
        return [_PROVIDERS["cpu"]]
    return [(_PROVIDERS["cuda"], _CUDA_OPTIONS | settings.worker_provider_options), _PROVIDERS["cpu"]]


def _check(graph: ort.InferenceSession, bundle: Bundle, file: ModelFile) -> None:
    inputs = {node.name for node in graph.get_inputs()}
    labels = graph.get_outputs()[0].shape[-1]
    if inputs != {"input_ids", "attention_mask"} or labels != len(bundle.manifest.labels):
        raise BundleError(f"model bundle {bundle.folder}: {file.file} takes {sorted(inputs)} and gives {labels} labels")
