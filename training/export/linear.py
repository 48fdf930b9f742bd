"""Products with weights, and attention, as each precision writes them, in ONNX Runtime's own operators: fp32, fp16, or int8.

ONNX Runtime's usual dynamic int8 scales each activation by the minimum and maximum of the whole batch, so that a text's score
moves with its neighbours. Here an activation has a fixed scale, measured beforehand, or, after the GELU, where outliers live,
a scale of its own for every token: the same integer kernel, and no pass over the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

MICROSOFT: Final = "com.microsoft"
_UNSIGNED_MAX: Final = 255
_WEIGHT_MAX: Final = 63
"""Weights take 7 bits: two products of 8 and 8 bits overflow the 16 bits in which older processors (AVX2) add them."""
_TABLE_MAX: Final = 127
_TINY: Final = 1e-6
GELU_MIN: Final = -0.17
"""No value of GELU lies below it."""
_GELU_ZERO: Final = 32
"""What stands for zero after the GELU: nearly all steps are left for what is above it."""

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


@dataclass(frozen=True, slots=True)
class Projection:
    """A product with weights [out, in] and a bias [out] that may be missing. No value of its input lies below `least`."""

    name: str
    weights: Floats
    bias: Floats | None = None
    least: float | None = None


class Linear(Protocol):
    """How a precision writes products with weights; `kind` is the number type of what flows between them."""

    @property
    def kind(self) -> type[np.floating[Any]]:
        """float32 or float16."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """Rows of `weights` [vocabulary, width] at `input_ids`: [rows, tokens, width]."""

    def product(self, graph: Graph, value: str, by: Projection) -> str:
        """`value` [rows, tokens, in] times the weights, plus the bias: [rows, tokens, out]."""

    def attention(self, graph: Graph, value: str, by: Sequence[Projection], padding: str, heads: int) -> str:
        """Self-attention over `value` [rows, tokens, width] by query, key and value; `padding` [rows, tokens]: 1 is a token."""


@dataclass(frozen=True, slots=True)
class Float:
    """As trained (float32), or in half the bytes (float16)."""

    kind: type[np.floating[Any]] = np.float32

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """A plain look-up."""
        return graph.op("Gather", graph.constant(name, weights.astype(self.kind)), "input_ids")

    def product(self, graph: Graph, value: str, by: Projection) -> str:
        """MatMul and Add."""
        weights = graph.constant(f"{by.name}.weight", np.ascontiguousarray(by.weights.T.astype(self.kind)))
        made = graph.op("MatMul", value, weights)
        return made if by.bias is None else graph.op("Add", made, graph.constant(f"{by.name}.bias", by.bias.astype(self.kind)))

    def attention(self, graph: Graph, value: str, by: Sequence[Projection], padding: str, heads: int) -> str:
        """Three products and one operator for the rest."""
        return _projected_attention(self, graph, value, by, padding, heads)


@dataclass(frozen=True, slots=True)
class Int8:
    """Integer products. `spans`: lowest and highest value of a product's input, by its name; without, a scale a token."""

    spans: Mapping[str, tuple[float, float]]
    kind: type[np.floating[Any]] = np.float32

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """Rows of one byte a value, with a scale a row."""
        scale = np.abs(weights).max(axis=1, keepdims=True).clip(min=_TINY) / _TABLE_MAX
        rows = graph.op("Gather", graph.constant(name, np.round(weights / scale).astype(np.int8)), "input_ids")
        scales = graph.op("Gather", graph.constant(f"{name}.scale", scale.astype(np.float32)), "input_ids")
        return graph.op("Mul", graph.op("Cast", rows, to=TensorProto.FLOAT), scales)

    def product(self, graph: Graph, value: str, by: Projection) -> str:
        """One integer kernel behind a fixed scale, or behind a scale a token."""
        return self._fixed(graph, value, by) if by.name in self.spans else _by_token(graph, value, by)

    def attention(self, graph: Graph, value: str, by: Sequence[Projection], padding: str, heads: int) -> str:
        """One operator for all of it, where the input has a fixed scale."""
        if by[0].name not in self.spans:
            return _projected_attention(self, graph, value, by, padding, heads)
        name = by[0].name.rpartition(".")[0]
        weights, column_scale, column_zero = _whole(graph, name, np.concatenate([one.weights for one in by]))
        bias = graph.constant(f"{name}.bias", _biases(by))
        scale, zero = self._scale(graph, by[0].name)
        inputs = (graph.op("QuantizeLinear", value, scale, zero), weights, bias, scale, column_scale, padding, zero, column_zero)
        return graph.op("QAttention", *inputs, domain=MICROSOFT, num_heads=heads)

    def _fixed(self, graph: Graph, value: str, by: Projection) -> str:
        weights, column_scale, column_zero = _whole(graph, by.name, by.weights)
        scale, zero = self._scale(graph, by.name)
        bias = () if by.bias is None else (graph.constant(f"{by.name}.bias", by.bias),)
        inputs = (graph.op("QuantizeLinear", value, scale, zero), weights, scale, column_scale, zero, column_zero, *bias)
        return graph.op("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)

    def _scale(self, graph: Graph, name: str) -> tuple[str, str]:
        """Width of a step of a product's input, and the step that stands for zero."""
        lowest, highest = self.spans[name]
        width = (highest - lowest) / _UNSIGNED_MAX
        middle = round(-lowest / width)
        return graph.constant(f"scale {width:.9g}", np.float32(width)), graph.constant(f"zero {middle}", np.uint8(middle))


def _projected_attention(linear: Linear, graph: Graph, value: str, by: Sequence[Projection], padding: str, heads: int) -> str:
    """Attention behind three products; their biases are the operator's."""
    projected = [linear.product(graph, value, replace(one, bias=None)) for one in by]
    bias = graph.constant(f"{by[0].name.rpartition('.')[0]}.bias", _biases(by))
    return graph.op("MultiHeadAttention", *projected, bias, padding, domain=MICROSOFT, num_heads=heads)


def _biases(by: Sequence[Projection]) -> Floats:
    return np.concatenate([one.bias for one in by if one.bias is not None])


def _whole(graph: Graph, name: str, weights: Floats) -> tuple[str, str, str]:
    """Weights as whole numbers, with scale and zero of each column."""
    column_scale = (np.abs(weights).max(axis=1).clip(min=_TINY) / _WEIGHT_MAX).astype(np.float32)
    whole = np.ascontiguousarray(np.round(weights / column_scale[:, None]).astype(np.int8).T)
    return (
        graph.constant(f"{name}.int8", whole),
        graph.constant(f"{name}.scale", column_scale),
        graph.constant(f"{name}.zero", np.zeros(len(column_scale), np.int8)),
    )


def _by_token(graph: Graph, value: str, by: Projection) -> str:
    """Behind a scale for each token, by its largest value."""
    width = graph.constant(f"width {by.weights.shape[1]}", np.array([-1, by.weights.shape[1]], np.int64))
    each, one = graph.constant("each", np.array([-1], np.int64)), graph.constant("one", np.float32(1))
    steps, middle = _token_steps(graph, value, by.least)
    flat_steps = graph.op("Reshape", steps, each)
    middles = graph.op("Expand", middle, graph.op("Shape", flat_steps))
    # Row by row of [all tokens, in]: QuantizeLinear divides by itself, which saves a pass.
    flat = graph.op("QuantizeLinear", graph.op("Reshape", value, width), flat_steps, middles, axis=0)
    rounded = graph.op("Reshape", flat, graph.op("Shape", value))
    weights, column_scale, column_zero = _whole(graph, by.name, by.weights)
    made = graph.op("MatMulIntegerToFloat", rounded, weights, one, column_scale, middle, column_zero, domain=MICROSOFT)
    scaled = graph.op("Mul", made, steps)
    return scaled if by.bias is None else graph.op("Add", scaled, graph.constant(f"{by.name}.bias", by.bias))


def _token_steps(graph: Graph, value: str, least: float | None) -> tuple[str, str]:
    """Width of a step for each token [rows, tokens, 1], and the step that stands for zero."""
    last = graph.constant("last", np.array([-1], np.int64))
    if least is None:
        zero, above, smallest = 128, 127, _TINY
        largest = graph.op("ReduceMax", graph.op("Abs", value), last, keepdims=1)
    else:  # what lies below zero is known, and has its steps
        zero, above = _GELU_ZERO, _UNSIGNED_MAX - _GELU_ZERO
        smallest = -least * above / zero
        largest = graph.op("ReduceMax", value, last, keepdims=1)
    bounded = graph.op("Max", largest, graph.constant(f"at least {smallest:.9g}", np.float32(smallest)))
    steps = graph.op("Mul", bounded, graph.constant(f"unit {above}", np.float32(1 / above)))
    return steps, graph.constant(f"zero {zero}", np.uint8(zero))


@dataclass(frozen=True, slots=True)
class Int8Table(Float):
    """As trained, but for the embedding table: shows what rounding that alone costs."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """As `Int8` does it."""
        return Int8({}).table(graph, name, weights)
