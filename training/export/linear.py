"""Products with weights as each precision writes them, in ONNX Runtime's own operators: fp32, fp16, or int8.

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
from onnx import TensorProto, helper

MICROSOFT: Final = "com.microsoft"
_UNSIGNED_MAX: Final = 255
_WEIGHT_MAX: Final = 63
"""Weights take 7 bits: two products of 8 and 8 bits overflow the 16 bits in which older processors (AVX2) add them."""
_TABLE_MAX: Final = 127
_TINY: Final = 1e-6

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
    """How a precision writes products with weights; `kind` is the number type of what flows between them."""

    @property
    def kind(self) -> type[np.floating[Any]]:
        """float32 or float16."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """Rows of `weights` [vocabulary, width] at `input_ids`: [rows, tokens, width]."""

    def product(self, graph: Graph, value: str, name: str, weights: Floats, bias: Floats | None) -> str:
        """`value` [rows, tokens, in] times `weights` [out, in], plus `bias` [out]."""


@dataclass(frozen=True, slots=True)
class Float:
    """As trained (float32), or in half the bytes (float16)."""

    kind: type[np.floating[Any]] = np.float32

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """A plain look-up."""
        return graph.op("Gather", graph.constant(name, weights.astype(self.kind)), "input_ids")

    def product(self, graph: Graph, value: str, name: str, weights: Floats, bias: Floats | None) -> str:
        """MatMul and Add."""
        made = graph.op("MatMul", value, graph.constant(f"{name}.weight", np.ascontiguousarray(weights.T.astype(self.kind))))
        return made if bias is None else graph.op("Add", made, graph.constant(f"{name}.bias", bias.astype(self.kind)))


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


@dataclass(frozen=True, slots=True)
class Int8Table(Float):
    """As trained, but for the embedding table: shows what rounding that alone costs."""

    def table(self, graph: Graph, name: str, weights: Floats) -> str:
        """As `Int8` does it."""
        return Int8({}).table(graph, name, weights)
