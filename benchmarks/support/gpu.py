"""An NVIDIA GPU: whether there is one, how busy it is, and the ways in which ONNX Runtime can feed it."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from benchmarks.support.ceiling import Feed

_LOOK_S: Final = 0.2
_CUDA, _TENSORRT = "CUDAExecutionProvider", "TensorrtExecutionProvider"
Run = Callable[[Feed], object]


def gpu_name() -> str:
    """The first GPU that the driver and ONNX Runtime both know; empty where there is none."""
    return _smi("name").strip() if _CUDA in ort.get_available_providers() else ""


def _smi(field: str) -> str:
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


@contextmanager
def busy_shares() -> Iterator[list[float]]:
    """A list that fills with the share of time in which a kernel ran, as the driver tells it, several times a second."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_S):
            if (told := _smi("utilization.gpu").strip()).isdecimal():
                seen.append(int(told) / 100)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def plain(model: Path) -> Run:
    """As the worker does: arrays in, arrays out."""
    session = _session(model, {})
    return lambda feed: session.run(["logits"], feed)


def bound(model: Path) -> Run:
    """Inputs copied to the device once a run, output left there until it is asked for."""
    session = _session(model, {})

    def run(feed: Feed) -> object:
        binding = session.io_binding()
        for name, value in feed.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, "cuda", 0))
        binding.bind_output("logits", "cuda")
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()

    return run


def cuda_graphs(model: Path) -> Run:
    """A CUDA graph for every shape, recorded at its first run, over buffers that stay where they are."""
    session = _session(model, {"enable_cuda_graph": "1"})
    labels = session.get_outputs()[0].shape[-1]
    shapes: dict[tuple[int, ...], tuple[Any, dict[str, Any], Any, Any]] = {}

    def run(feed: Feed) -> object:
        shape = feed["input_ids"].shape
        if shape not in shapes:
            shapes[shape] = _recorded(session, feed, labels, len(shapes) + 1)
        binding, inputs, output, options = shapes[shape]
        for name, value in feed.items():
            inputs[name].update_inplace(value)
        session.run_with_iobinding(binding, options)
        return output.numpy()

    return run


def _recorded(session: Any, feed: Feed, labels: int, number: int) -> tuple[Any, dict[str, Any], Any, Any]:  # noqa: ANN401
    binding, options = session.io_binding(), ort.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(number))
    inputs = {name: ort.OrtValue.ortvalue_from_numpy(value, "cuda", 0) for name, value in feed.items()}
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    rows = feed["input_ids"].shape[0]
    output = ort.OrtValue.ortvalue_from_shape_and_type([rows, labels], np.float32, "cuda", 0)
    binding.bind_ortvalue_output("logits", output)
    return binding, inputs, output, options


def tensorrt(model: Path) -> Run:
    """TensorRT in half precision, where its libraries are there; it builds engines for the shapes it meets, for minutes."""
    if _TENSORRT not in ort.get_available_providers():
        raise RuntimeError("this onnxruntime has no TensorRT provider")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    chosen = [(_TENSORRT, {"trt_fp16_enable": "1"}), _CUDA]
    session = ort.InferenceSession(str(model), options, providers=chosen)
    if session.get_providers()[0] != _TENSORRT:
        raise RuntimeError("TensorRT's libraries are not there")
    return lambda feed: session.run(["logits"], feed)


def _session(model: Path, provider_options: dict[str, str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=[(_CUDA, provider_options)])


def seconds(run: Run, feeds: Sequence[Feed]) -> float:
    """Of one pass over `feeds`, after one that is not counted."""
    for feed in feeds:
        run(feed)
    began = time.perf_counter()
    for feed in feeds:
        run(feed)
    return time.perf_counter() - began
