"""The session: what it opens, what it refuses, and that a row's logits do not depend on its neighbours."""

import hashlib
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import metrics
from pipeline.bundles import Bundle, open_bundle
from pipeline.settings import Settings
from schemas.errors import BundleError, ConfigurationError
from tests.support.toy import LABELS, NAME, make_toy_bundle
from workers import session as session_module
from workers.session import Session, open_session

TOKENS = st.lists(st.integers(0, 16), min_size=1, max_size=12)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A toy of one's own, to be damaged."""
    return open_bundle(make_toy_bundle(tmp_path))


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = make_toy_bundle(tmp_path_factory.mktemp("session"))
    return open_session(open_bundle(folder), Settings(worker_provider="cpu"))


def altered(bundle: Bundle, **changes: Any) -> Bundle:
    return Bundle(bundle.folder, bundle.manifest.model_copy(update=changes))


def tensor(rows: list[list[int]], width: int) -> tuple[Any, Any]:
    ids = np.array([row + [1] * (width - len(row)) for row in rows], np.int64)
    mask = np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows], np.int64)
    return ids, mask


@settings(deadline=None)
@given(TOKENS, st.lists(TOKENS, max_size=8))
def test_a_row_gets_the_same_logits_bit_for_bit_in_any_company(toy: Session, row: list[int], others: list[list[int]]) -> None:
    alone = toy.run(*tensor([row], 16))
    for place in (0, len(others)):
        company = [*others[:place], row, *others[place:]]
        assert toy.run(*tensor(company, 16))[place].tobytes() == alone[0].tobytes()


@pytest.mark.parametrize("module", ["workers.session", "training.export.spans"])
def test_onnx_runtime_is_loaded_with_its_telemetry_off(module: str) -> None:
    told = f"import os, {module}; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_logits_are_float32_rows_of_labels(toy: Session) -> None:
    logits = toy.run(*tensor([[4], [5, 6]], 16))
    assert (logits.shape, logits.dtype) == ((2, len(LABELS)), np.float32)


@pytest.mark.parametrize(
    ("ids", "mask"),
    [
        (np.zeros((1, 4), np.int32), np.ones((1, 4), np.int64)),
        (np.zeros((1, 4), np.float32), np.ones((1, 4), np.int64)),
        (np.zeros(4, np.int64), np.ones(4, np.int64)),
        (np.full((1, 4), 999, np.int64), np.ones((1, 4), np.int64)),  # beyond the vocabulary
        (np.zeros((1, 4), np.int64), np.ones((1, 5), np.int64)),
    ],
)
def test_wrong_inputs_are_refused_not_guessed(toy: Session, ids: Any, mask: Any) -> None:
    with pytest.raises(Exception, match=r"(?i)invalid|unexpected|range|broadcast"):
        toy.run(ids, mask)


def test_a_damaged_file_is_refused_before_it_is_opened(bundle: Bundle) -> None:
    graph = bundle.folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx is damaged"):
        open_session(bundle, Settings(worker_provider="cpu"))


def test_a_file_that_is_no_graph_is_refused(bundle: Bundle) -> None:
    (bundle.folder / "model.onnx").write_bytes(b"no graph")
    file = bundle.manifest.models[0].model_copy(update={"sha256": hashlib.sha256(b"no graph").hexdigest()})
    with pytest.raises(BundleError, match="cannot be opened"):
        open_session(altered(bundle, models=(file,)), Settings(worker_provider="cpu"))


def test_a_graph_with_other_labels_than_the_manifest_is_refused(bundle: Bundle) -> None:
    fewer = altered(bundle, labels=bundle.manifest.labels[:-1])
    with pytest.raises(BundleError, match="gives 9 labels"):
        open_session(fewer, Settings(worker_provider="cpu"))


def test_a_precision_that_the_bundle_lacks_is_refused_with_what_it_has(bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match="has no int8 graph; it has: fp32"):
        open_session(bundle, Settings(worker_provider="cpu", worker_precision="int8"))


@pytest.mark.parametrize(
    ("there", "wanted", "device", "chosen"),
    [
        (("fp32", "fp16", "int8"), "auto", "cpu", "int8"),
        (("fp32", "fp16", "int8"), "auto", "cuda", "fp16"),
        (("fp32", "int8"), "auto", "cuda", "fp32"),
        (("int8",), "auto", "cuda", "int8"),  # better than nothing
        (("fp16",), "auto", "cpu", "fp16"),
        (("fp32", "int8"), "fp32", "cpu", "fp32"),
    ],
)
def test_the_precision_fits_the_device_unless_it_is_asked_for(
    bundle: Bundle, there: tuple[str, ...], wanted: str, device: str, chosen: str
) -> None:
    file = bundle.manifest.models[0]
    files = tuple(file.model_copy(update={"precision": precision}) for precision in there)
    assert session_module._choose(altered(bundle, models=files), wanted, device).precision == chosen


def test_cuda_that_was_asked_for_and_is_not_there_is_an_error(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigurationError, match=r"llmos\[gpu\]"):
        open_session(bundle, Settings(worker_provider="cuda"))


def test_cuda_that_falls_back_is_an_error_where_it_was_asked_for(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "_device", lambda _: "cpu")  # as a driver that does not load
    with pytest.raises(ConfigurationError, match="fell back to CPUExecutionProvider"):
        open_session(bundle, Settings(worker_provider="cuda"))


def test_auto_runs_on_the_cpu_without_a_word_where_there_is_no_gpu(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session_module, "_GPU_NODES", (bundle.folder / "no-device",))
    with caplog.at_level(logging.WARNING):
        opened = open_session(bundle, Settings(worker_provider="auto"))
    assert opened.provider == "CPUExecutionProvider"
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("node", "device"), [("present", "cuda"), ("absent", "cpu")])
def test_auto_tries_cuda_only_where_the_driver_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str, device: str
) -> None:
    (tmp_path / "present").touch()
    monkeypatch.setattr(session_module, "_GPU_NODES", (tmp_path / node,))
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert session_module._device("auto") == device


@pytest.mark.parametrize(("threads", "at_once"), [(3, 3), (0, len(os.sched_getaffinity(0)))])
def test_on_a_cpu_each_thread_has_a_run_of_its_own(bundle: Bundle, threads: int, at_once: int) -> None:
    opened = open_session(bundle, Settings(worker_provider="cpu", worker_threads=threads))
    assert (opened.at_once, opened.graph.get_session_options().intra_op_num_threads) == (at_once, 1)


def test_what_really_runs_is_in_the_metrics(bundle: Bundle) -> None:
    open_session(bundle, Settings(worker_provider="cpu"))
    gauge = metrics.PROVIDER.labels(NAME, "CPUExecutionProvider", "fp32")
    assert gauge._value.get() == 1


@pytest.mark.parametrize(("cuda", "times"), [("CUDAExecutionProvider", 0), ("CPUExecutionProvider", 1)])
def test_the_memory_of_gpus_is_shown_only_where_cuda_runs(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch, cuda: str, times: int
) -> None:
    shown: list[None] = []
    monkeypatch.setattr(session_module, "show_gpu_memory", lambda: shown.append(None))
    monkeypatch.setattr(session_module, "_PROVIDERS", {"cpu": "CPUExecutionProvider", "cuda": cuda})  # as if it were CUDA's
    open_session(bundle, Settings(worker_provider="cpu"))
    assert len(shown) == times


def test_a_missing_file_is_named(bundle: Bundle) -> None:
    shutil.move(bundle.folder / "model.onnx", bundle.folder / "elsewhere")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        open_session(bundle, Settings(worker_provider="cpu"))
