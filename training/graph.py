"""Writes the classifier as an ONNX graph in ONNX Runtime's own operators: fp32, or int8 whose scores do not depend on the batch.

Inputs: int64 `input_ids` and `attention_mask` [rows, tokens]. Output: float32 `logits` [rows, labels].

ONNX Runtime's usual dynamic int8 scales each activation by the minimum and maximum of the whole batch, so that a text's score
moves with its neighbours. Here an activation has a fixed scale, measured beforehand, or, after the GELU, where outliers live,
a scale of its own for every token: the same integer kernel, and no pass over the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT: Final = "com.microsoft"
_OPSET, _IR = 20, 9
_UNSIGNED_MAX: Final = 255
_WEIGHT_MAX: Final = 63
"""Weights take 7 bits: two products of 8 and 8 bits overflow the 16 bits in which older processors (AVX2) add them."""
_TABLE_MAX: Final = 127
_TINY: Final = 1e-6
GRID: Final = 1 << 16
"""Steps to one in the last layer: 0.000015 is far below what a score shows."""

Floats = npt.NDArray[np.float32]
Weights = Mapping[str, Floats]


class Graph:
    """Nodes and constants in the order in which they are written."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}

    def op(self, kind: str, *inputs: str, domain: str = "", name: str = "", **attributes: Any) -> str:  # noqa: ANN401 (whatever ONNX takes)
        """Append a node with one output; returns the output's name."""
        output = name or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, domain=domain, **attributes))
        return output

    def constant(self, name: str, value: npt.ArrayLike) -> str:
        """A constant called `name`; the same name again means the same constant."""
        self.constants.setdefault(name, np.asarray(value))
        return name


class Linear(Protocol):
    """How a precision writes products with weights."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """Rows of `weights` [vocabulary, width] at `input_ids`: [rows, tokens, width]."""

    def product(self, graph: Graph, value: str, name: str, weights: Floats, bias: Floats | None) -> str:
        """`value` [rows, tokens, in] times `weights` [out, in], plus `bias` [out]."""


class Fp32:
    """As trained."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """A plain look-up."""
        return graph.op("Gather", graph.constant(name, weights), "input_ids")

    def product(self, graph: Graph, value: str, name: str, weights: Floats, bias: Floats | None) -> str:
        """MatMul and Add."""
        made = graph.op("MatMul", value, graph.constant(f"{name}.weight", np.ascontiguousarray(weights.T)))
        return made if bias is None else graph.op("Add", made, graph.constant(f"{name}.bias", bias))


@dataclass(frozen=True, slots=True)
class Int8:
    """Integer products. `spans`: lowest and highest value of a product's input, by its name; without, a scale a token."""

    spans: Mapping[str, tuple[float, float]]

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """Rows of one byte a value, with a scale a row."""
        scale = np.abs(weights).max(axis=1, keepdims=True).clip(min=_TINY) / _TABLE_MAX
        rows = graph.op("Gather", graph.constant(name, np.round(weights / scale).astype(np.int8)), "input_ids")
        scales = graph.op("Gather", graph.constant(f"{name}.scale", scale.astype(np.float32)), "input_ids")
        return graph.op("Mul", graph.op("Cast", rows, to=TensorProto.FLOAT), scales)

    def product(self, graph: Graph, value: str, name: str, weights: Floats, bias: Floats | None) -> str:
        """One integer kernel behind a fixed scale, or behind a scale a token."""
        column_scale = (np.abs(weights).max(axis=1).clip(min=_TINY) / _WEIGHT_MAX).astype(np.float32)
        whole = np.ascontiguousarray(np.round(weights / column_scale[:, None]).astype(np.int8).T)
        operands = (
            graph.constant(f"{name}.int8", whole),
            graph.constant(f"{name}.scale", column_scale),
            graph.constant(f"{name}.zero", np.zeros(len(column_scale), np.int8)),
        )
        fixed = self.spans.get(name)
        if fixed:
            return self._fixed(graph, value, name, operands, bias, fixed)
        return self._by_token(graph, value, name, operands, bias)

    @staticmethod
    def _fixed(
        graph: Graph, value: str, name: str, operands: tuple[str, str, str], bias: Floats | None, span: tuple[float, float]
    ) -> str:
        width = (span[1] - span[0]) / _UNSIGNED_MAX
        # Named after the values, not after the product: query, key and value share one input and one rounding of it.
        scale = graph.constant(f"scale {width:.9g}", np.float32(width))
        zero = graph.constant(f"zero {round(-span[0] / width)}", np.uint8(round(-span[0] / width)))
        rounded = f"{value} rounded by {width:.9g}"
        if not any(rounded == node.output[0] for node in graph.nodes):
            graph.op("QuantizeLinear", value, scale, zero, name=rounded)
        weights, column_scale, column_zero = operands
        more = () if bias is None else (graph.constant(f"{name}.bias", bias),)
        return graph.op("MatMulIntegerToFloat", rounded, weights, scale, column_scale, zero, column_zero, *more, domain=MICROSOFT)

    @staticmethod
    def _by_token(graph: Graph, value: str, name: str, operands: tuple[str, str, str], bias: Floats | None) -> str:
        unit, middle = graph.constant("unit", np.float32(1 / 127)), graph.constant("middle", np.uint8(128))
        last, tiny = graph.constant("last", np.array([-1], np.int64)), graph.constant("tiny", np.float32(_TINY))
        largest = graph.op("Max", graph.op("ReduceMax", graph.op("Abs", value), last, keepdims=1), tiny)
        rounded = graph.op("QuantizeLinear", graph.op("Div", value, largest), unit, middle)
        weights, column_scale, column_zero = operands
        made = graph.op("MatMulIntegerToFloat", rounded, weights, unit, column_scale, middle, column_zero, domain=MICROSOFT)
        scaled = graph.op("Mul", made, largest)
        return scaled if bias is None else graph.op("Add", scaled, graph.constant(f"{name}.bias", bias))


def classifier_graph(weights: Weights, *, heads: int, epsilon: float, linear: Linear) -> onnx.ModelProto:
    """The graph of `training.model.Classifier` with these weights, named as its state dictionary names them."""
    graph = Graph()
    layers = 1 + max(int(name.split(".")[3]) for name in weights if name.startswith("encoder.encoder.layer."))
    value = _embed(graph, weights, epsilon, linear)
    padding = graph.op("Cast", "attention_mask", to=TensorProto.INT32)
    for number in range(layers):
        value = _layer(graph, weights, f"encoder.encoder.layer.{number}", value, padding, heads, epsilon, linear)
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
    def product(source: str, part: str, *, biased: bool = True) -> str:
        bias = weights[f"{at}.{part}.bias"] if biased else None
        return linear.product(graph, source, f"{at}.{part}", weights[f"{at}.{part}.weight"], bias)

    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    projected = [product(value, part, biased=False) for part in parts]
    bias = graph.constant(f"{at}.attention.bias", np.concatenate([weights[f"{at}.{part}.bias"] for part in parts]))
    attended = graph.op("MultiHeadAttention", *projected, bias, padding, domain=MICROSOFT, num_heads=heads)
    added = graph.op("Add", product(attended, "attention.output.dense"), value)
    middle = _norm(graph, weights, f"{at}.attention.output.LayerNorm", added, epsilon)
    wide = graph.op("Gelu", product(middle, "intermediate.dense"))
    added = graph.op("Add", product(wide, "output.dense"), middle)
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
