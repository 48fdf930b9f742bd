"""A stand-in for a model of six layers in any precision, for machines on which the bundle's int8 graph is not what one would run.

Shape, operators and cost are those of the shipped model; its weights are random, so the encoder's part of a logit is multiplied
by 0 and verdicts come from a look-up of token ids, as those of the simulated device do.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, WIDTH, HEADS, INNER, POSITIONS = 6, 384, 12, 1536, 512
_MICROSOFT: Final = "com.microsoft"
_TYPES: Final[dict[str, Any]] = {"fp32": np.float32, "fp16": np.float16}
_TINY_WEIGHTS: Final = 0.02

Array = npt.NDArray[Any]


class _Graph:
    def __init__(self, precision: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(7)
        self._type = _TYPES[precision]

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:  # noqa: ANN401 (whatever ONNX takes)
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, domain=domain, **attributes))
        return name

    def constant(self, value: Array) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self._random.normal(0, _TINY_WEIGHTS, shape).astype(self._type))

    def linear(self, value: str, inputs: int, outputs: int) -> str:
        return self.op("Add", self.op("MatMul", value, self.weights(inputs, outputs)), self.weights(outputs))

    def norm(self, value: str) -> str:
        one, zero = self.constant(np.ones(WIDTH, self._type)), self.constant(np.zeros(WIDTH, self._type))
        return self.op("LayerNormalization", value, one, zero, epsilon=1e-5)


def encoder_graph(precision: str, look_up: npt.NDArray[np.float32]) -> onnx.ModelProto:
    """int64 `input_ids` and `attention_mask` [rows, tokens] to float32 `logits` [rows, labels].

    `look_up` [vocabulary, labels] has the logits that each token asks for; of a row's tokens the largest counts.
    """
    graph = _Graph(precision)
    vocabulary, labels = look_up.shape
    value = _embed(graph, vocabulary)
    padding = graph.op("Cast", "attention_mask", to=TensorProto.INT32)
    for _ in range(LAYERS):
        value = _layer(graph, value, padding)
    tokens = graph.constant(np.array([1], np.int64))
    pooled = graph.op("ReduceMean", value, tokens, keepdims=0)
    scored = graph.op("Cast", graph.linear(pooled, WIDTH, labels), to=TensorProto.FLOAT)
    nothing = graph.op("Mul", scored, graph.constant(np.array(0, np.float32)))
    asked = graph.op("ReduceMax", graph.op("Gather", graph.constant(look_up), "input_ids"), tokens, keepdims=0)
    graph.nodes.append(helper.make_node("Add", [nothing, asked], ["logits"]))
    return model_of(graph.nodes, graph.constants, labels, "stand-in")


def _embed(graph: _Graph, vocabulary: int) -> str:
    zero = graph.constant(np.array([0], np.int64))
    length = graph.op("Shape", "input_ids", start=1, end=2)
    places = graph.op("Slice", graph.weights(POSITIONS, WIDTH), zero, length, zero)
    return graph.norm(graph.op("Add", graph.op("Gather", graph.weights(vocabulary, WIDTH), "input_ids"), places))


def _layer(graph: _Graph, value: str, padding: str) -> str:
    parts = [graph.op("MatMul", value, graph.weights(WIDTH, WIDTH)) for _ in range(3)]
    bias = graph.weights(3 * WIDTH)
    attended = graph.op("MultiHeadAttention", *parts, bias, padding, num_heads=HEADS, domain=_MICROSOFT)
    value = graph.norm(graph.op("Add", graph.linear(attended, WIDTH, WIDTH), value))
    inner = graph.op("Gelu", graph.linear(value, WIDTH, INNER), domain=_MICROSOFT)
    return graph.norm(graph.op("Add", graph.linear(inner, INNER, WIDTH), value))


def model_of(nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], labels: int, name: str) -> onnx.ModelProto:
    """A model with the inputs and the output that a bundle's graph must have."""
    inputs = [
        helper.make_tensor_value_info(one, TensorProto.INT64, ["rows", "tokens"]) for one in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", labels])]
    graph = helper.make_graph(nodes, name, inputs, outputs, constants)
    imports = [helper.make_opsetid("", 20), helper.make_opsetid(_MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)
