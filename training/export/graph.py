"""Writes the classifier as an ONNX graph whose scores do not depend on the batch, attention and normalisation fused.

Inputs: int64 `input_ids` and `attention_mask` [rows, tokens]. Output: float32 `logits` [rows, labels].
"""

from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.export.linear import GELU_MIN, MICROSOFT, Graph, Linear, Projection, Weights

_OPSET, _IR = 20, 9
GRID: Final = 1 << 16
"""Steps to one in the last layer: 0.000015 is far below what a score shows."""


def classifier_graph(weights: Weights, *, heads: int, epsilon: float, linear: Linear) -> onnx.ModelProto:
    """The graph of `training.model.Classifier` with these weights, named as its state dictionary names them."""
    graph = Graph()
    weights = {name: value if name.startswith("head.") else value.astype(linear.kind) for name, value in weights.items()}
    layers = 1 + max(int(name.split(".")[3]) for name in weights if name.startswith("encoder.encoder.layer."))
    value = _embed(graph, weights, epsilon, linear)
    padding = graph.op("Cast", "attention_mask", to=TensorProto.INT32)
    for number in range(layers):
        value = _layer(graph, weights, f"encoder.encoder.layer.{number}", value, padding, heads, epsilon, linear)
    if linear.kind is not np.float32:
        value = graph.op("Cast", value, to=TensorProto.FLOAT)
    _head(graph, weights, value)
    return _model(graph, len(weights["head.bias"]))


def _embed(graph: Graph, weights: Weights, epsilon: float, linear: Linear) -> str:
    at = "encoder.embeddings"
    places = weights[f"{at}.position_embeddings.weight"] + weights[f"{at}.token_type_embeddings.weight"][0]
    length = graph.op("Shape", "input_ids", start=1, end=2)
    zero = graph.constant("first", np.array([0], np.int64))
    words = linear.table(graph, "words", weights[f"{at}.word_embeddings.weight"])
    return _norm(
        graph,
        weights,
        f"{at}.LayerNorm",
        graph.op("Add", words, graph.op("Slice", graph.constant("places", places), zero, length, zero)),
        epsilon,
    )


def _norm(graph: Graph, weights: Weights, at: str, value: str, epsilon: float) -> str:
    scale, bias = (graph.constant(f"{at}.{part}", weights[f"{at}.{part}"]) for part in ("weight", "bias"))
    return graph.op("LayerNormalization", value, scale, bias, epsilon=epsilon)


def _layer(graph: Graph, weights: Weights, at: str, value: str, padding: str, heads: int, epsilon: float, linear: Linear) -> str:
    def by(part: str, least: float | None = None) -> Projection:
        return Projection(f"{at}.{part}", weights[f"{at}.{part}.weight"], weights[f"{at}.{part}.bias"], least)

    heads_by = [by(f"attention.self.{part}") for part in ("query", "key", "value")]
    attended = linear.attention(graph, value, heads_by, padding, heads)
    added = graph.op("Add", linear.product(graph, attended, by("attention.output.dense")), value)
    middle = _norm(graph, weights, f"{at}.attention.output.LayerNorm", added, epsilon)
    wide = graph.op("Gelu", linear.product(graph, middle, by("intermediate.dense")))
    added = graph.op("Add", linear.product(graph, wide, by("output.dense", GELU_MIN)), middle)
    return _norm(graph, weights, f"{at}.output.LayerNorm", added, epsilon)


def _head(graph: Graph, weights: Weights, value: str) -> None:
    """The mean of the token vectors times the head, in whole numbers of 1 / GRID.

    A sum of floats depends on the order in which a kernel happens to add; a sum of whole numbers below 2^53 does not.
    """
    inner, tokens = graph.constant("inner", np.array([2], np.int64)), graph.constant("tokens", np.array([1], np.int64))
    mask = graph.op("Cast", "attention_mask", to=TensorProto.DOUBLE)
    kept = graph.op("Mul", _whole(graph, value), graph.op("Unsqueeze", mask, inner))
    total = graph.op("ReduceSum", kept, tokens, keepdims=0)
    mean = graph.op("Round", graph.op("Div", total, graph.op("ReduceSum", mask, tokens, keepdims=1)))
    head = graph.constant("head.weight", np.round(weights["head.weight"].T.astype(np.float64) * GRID))
    made = graph.op("Div", graph.op("MatMul", mean, head), graph.constant("grid squared", np.float64(GRID**2)))
    graph.op(
        "Add", graph.op("Cast", made, to=TensorProto.FLOAT), graph.constant("head.bias", weights["head.bias"]), name="logits"
    )


def _whole(graph: Graph, value: str) -> str:
    scaled = graph.op("Round", graph.op("Mul", value, graph.constant("grid", np.float32(GRID))))
    return graph.op("Cast", scaled, to=TensorProto.DOUBLE)


def _model(graph: Graph, labels: int) -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", labels])]
    initial = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "classifier", inputs, outputs, initial)
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(made, opset_imports=opsets, ir_version=_IR, producer_name="llmos")


def product_inputs(model: onnx.ModelProto) -> dict[str, str]:
    """The input of every product of an fp32 graph, by the product's name: what must be measured for fixed scales."""
    return {node.input[1].removesuffix(".weight"): node.input[0] for node in _products(model)}


def _products(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] != "head.weight"]
