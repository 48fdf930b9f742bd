"""The graphs that training writes: true to PyTorch, and the same for a text in any batch."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.training.conftest import HEADS, VOCABULARY
from training.export.graph import classifier_graph
from training.export.linear import Float, Int8, Linear
from training.export.spans import fixed_spans, measure_spans
from training.model import Classifier

LENGTH = 24


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def rows(count: int, seed: int = 0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(4, VOCABULARY, random.integers(5, LENGTH + 1)) for _ in range(count)]


def logits(graph: onnxruntime.InferenceSession, windows: Sequence[np.ndarray]) -> np.ndarray:
    ids = np.full((len(windows), LENGTH), 1, np.int64)
    mask = np.zeros_like(ids)
    for row, window in enumerate(windows):
        ids[row, : len(window)], mask[row, : len(window)] = window, 1
    return graph.run(["logits"], {"input_ids": ids, "attention_mask": mask})[0]


def written(classifier: Classifier, linear: Linear) -> onnx.ModelProto:
    weights = {name: value.numpy() for name, value in classifier.state_dict().items()}
    return classifier_graph(weights, heads=HEADS, epsilon=classifier.encoder.config.layer_norm_eps, linear=linear)


def exact(classifier: Classifier) -> onnx.ModelProto:
    return written(classifier, Float())


def rounded(classifier: Classifier, *, by_token: bool) -> onnx.ModelProto:
    spans = measure_spans(exact(classifier), rows(20, seed=1))
    return written(classifier, Int8(fixed_spans(spans, "token" if by_token else "mixed")))


def by_torch(classifier: Classifier, windows: Sequence[np.ndarray]) -> np.ndarray:
    with torch.inference_mode():
        alone = [torch.from_numpy(window)[None] for window in windows]
        return np.concatenate([classifier(ids, torch.ones_like(ids)).numpy() for ids in alone])


def test_the_fp32_graph_gives_what_pytorch_gives(classifier: Classifier) -> None:
    windows = rows(12)
    assert np.abs(logits(session(exact(classifier)), windows) - by_torch(classifier, windows)).max() < 2e-4


def test_the_fp16_graph_stays_near_pytorch_and_near_itself_in_other_company(classifier: Classifier) -> None:
    graph, windows = session(written(classifier, Float(np.float16))), rows(12)
    together = logits(graph, windows)
    assert 0 < np.abs(together - by_torch(classifier, windows)).max() < 0.01
    assert np.abs(together - np.concatenate([logits(graph, [window]) for window in windows])).max() < 0.002


@pytest.mark.parametrize("by_token", [True, False])
def test_the_int8_graph_stays_near_pytorch(classifier: Classifier, *, by_token: bool) -> None:
    windows = rows(12)
    moved = np.abs(logits(session(rounded(classifier, by_token=by_token)), windows) - by_torch(classifier, windows))
    assert 0 < moved.mean() < 0.05


@pytest.mark.parametrize("kind", ["fp32", "by token", "fixed"])
def test_a_text_has_the_same_logits_alone_and_among_others_bit_for_bit(classifier: Classifier, kind: str) -> None:
    graph = session(exact(classifier) if kind == "fp32" else rounded(classifier, by_token=kind == "by token"))
    windows = rows(30, seed=5)
    together = logits(graph, windows)
    alone = np.concatenate([logits(graph, [window]) for window in windows])
    assert np.array_equal(together, alone)


def test_attention_is_one_operator_behind_one_rounding(classifier: Classifier) -> None:
    kinds = [node.op_type for node in rounded(classifier, by_token=False).graph.node]
    assert kinds.count("QAttention") == 2
    assert kinds.count("MatMulIntegerToFloat") == 6
    assert kinds.count("QuantizeLinear") == 8  # in each of two layers: for attention, its output, and both wide products


def test_weights_leave_room_for_two_products_in_16_bits(classifier: Classifier) -> None:
    whole = [tensor for tensor in rounded(classifier, by_token=True).graph.initializer if tensor.name.endswith(".int8")]
    largest = max(int(np.abs(onnx.numpy_helper.to_array(tensor).astype(int)).max()) for tensor in whole)
    assert 2 * 255 * largest < 1 << 15
