"""The encoder as an ONNX graph, written node by node, in fp32 or in int8 whose scores do not depend on the batch.

ONNX Runtime's usual dynamic int8 scales an activation by the extremes of the whole batch, so a text's score moves with its
neighbours. Here each token has its own scale (after LayerNorm and GELU), and attention's output a fixed one, measured on sample texts.
Weights take 7 bits a column: on CPUs without VNNI the integer kernel adds two products of 8 x 8 bits in 16 bits, which would overflow.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[np.float32]
MS: Final = "com.microsoft"
WEIGHT_LEVELS: Final = 63
ACTIVATION_LEVELS: Final = 127
_EMBEDDING_LEVELS: Final = 127
OPSET: Final = 20


class Graph:
    """Nodes and constants as they are written down, top to bottom, all in fp32."""

    def __init__(self, weights: Mapping[str, Array], epsilon: float) -> None:
        self.weights, self.epsilon = weights, epsilon
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[np.generic]] = {}
        self.attention_outputs: list[str] = []

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        """Add a node; returns the name of its output."""
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: npt.NDArray[np.generic]) -> str:
        """Add a constant once; returns its name."""
        self.constants[name] = value
        return name

    def weight(self, name: str) -> str:
        """A weight of the model as it is."""
        return self.constant(name, self.weights[name])

    def embedding(self, ids: str) -> str:
        """Rows of the embedding table."""
        return self.op("Gather", self.weight("embeddings.word_embeddings.weight"), ids)

    def linear(self, x: str, name: str, *, bias: bool = True) -> str:
        """x [rows, tokens, in] times the layer's weight, plus its bias."""
        y = self.product(x, name)
        return self.op("Add", y, self.weight(f"{name}.bias")) if bias else y

    def product(self, x: str, name: str) -> str:
        """x times the layer's weight."""
        return self.op("MatMul", x, self.constant(f"{name}.T", np.ascontiguousarray(self.weights[f"{name}.weight"].T)))

    def norm(self, x: str, name: str) -> str:
        """LayerNorm over the last axis."""
        return self.op("LayerNormalization", x, self.weight(f"{name}.weight"), self.weight(f"{name}.bias"), epsilon=self.epsilon)


class Int8Graph(Graph):
    """The same with integer products. `attention_max` [layers]: largest magnitude of each attention output."""

    def __init__(self, weights: Mapping[str, Array], epsilon: float, attention_max: list[float]) -> None:
        super().__init__(weights, epsilon)
        self._attention_max = attention_max
        self._quantised: dict[str, tuple[str, str, str | None]] = {}

    def embedding(self, ids: str) -> str:
        """Rows of the table at 8 bits, each with its scale."""
        table = self.weights["embeddings.word_embeddings.weight"]
        scale = np.maximum(np.abs(table).max(axis=1, keepdims=True), 1e-8) / _EMBEDDING_LEVELS
        rows = self.op("Gather", self.constant("table", np.round(table / scale).astype(np.int8)), ids)
        scales = self.op("Gather", self.constant("table.scale", scale.astype(np.float32)), ids)
        return self.op("Mul", self.op("Cast", rows, to=TensorProto.FLOAT), scales)

    def product(self, x: str, name: str) -> str:
        """An integer product; inputs of several layers are quantised once."""
        weight = self.weights[f"{name}.weight"].T
        scale = np.maximum(np.abs(weight).max(axis=0), 1e-8) / WEIGHT_LEVELS
        quantised, unit, row = self._quantise(x)
        made = self.op(
            "MatMulIntegerToFloat",
            quantised,
            self.constant(f"{name}.int8", np.round(weight / scale).astype(np.int8)),
            unit,
            self.constant(f"{name}.scale", scale.astype(np.float32)),
            self._zero(),
            domain=MS,
        )
        return self.op("Mul", made, row) if row else made

    def _zero(self) -> str:
        return self.constant("zero_point", np.array(128, np.uint8))

    def _quantise(self, x: str) -> tuple[str, str, str | None]:
        if x not in self._quantised:
            self._quantised[x] = self._fixed(x) if x in self.attention_outputs else self._by_token(x)
        return self._quantised[x]

    def _fixed(self, x: str) -> tuple[str, str, None]:
        layer = self.attention_outputs.index(x)
        scale = self.constant(f"attention.{layer}.scale", np.array(self._attention_max[layer] / ACTIVATION_LEVELS, np.float32))
        return self.op("QuantizeLinear", x, scale, self._zero()), scale, None

    def _by_token(self, x: str) -> tuple[str, str, str]:
        largest = self.op("ReduceMax", self.op("Abs", x), self.constant("last_axis", np.array([-1])), keepdims=1)
        row = self.op("Max", largest, self.constant("tiny", np.array(1e-5, np.float32)))
        unit = self.constant("unit", np.array(1 / ACTIVATION_LEVELS, np.float32))
        return self.op("QuantizeLinear", self.op("Div", x, row), unit, self._zero()), unit, row


def write(graph: Graph, layers: int, heads: int) -> onnx.ModelProto:
    """int64 input_ids, attention_mask [rows, tokens] to float32 logits [rows, labels], all layers in order."""
    x = _embed(graph)
    padding = graph.op("Cast", "attention_mask", to=TensorProto.INT32)
    for layer in range(layers):
        x = _layer(graph, x, padding, f"encoder.layer.{layer}.", heads)
    mask = graph.op("Unsqueeze", graph.op("Cast", "attention_mask", to=TensorProto.FLOAT), graph.constant("two", np.array([2])))
    one = graph.constant("one", np.array([1]))
    mean = graph.op(
        "Div",
        graph.op("ReduceSum", graph.op("Mul", x, mask), one, keepdims=0),
        graph.op("ReduceSum", mask, one, keepdims=0),
    )
    head = graph.constant("head.T", np.ascontiguousarray(graph.weights["head.weight"].T))
    logits = graph.op("Add", graph.op("MatMul", mean, head), graph.weight("head.bias"))
    graph.nodes.append(helper.make_node("Identity", [logits], ["logits"]))
    return _model(graph, len(graph.weights["head.bias"]))


def _embed(graph: Graph) -> str:
    positions = graph.weights["embeddings.position_embeddings.weight"] + graph.weights["embeddings.token_type_embeddings.weight"][0]
    zero = graph.constant("zero", np.array([0]))
    length = graph.op("Shape", "input_ids", start=1, end=2)
    place = graph.op("Slice", graph.constant("positions", positions), zero, length, zero)
    return graph.norm(graph.op("Add", graph.embedding("input_ids"), place), "embeddings.LayerNorm")


def _layer(graph: Graph, x: str, padding: str, at: str, heads: int) -> str:
    parts = [f"{at}attention.self.{part}" for part in ("query", "key", "value")]
    query, key, value = (graph.linear(x, part, bias=False) for part in parts)
    bias = graph.constant(f"{at}qkv.bias", np.concatenate([graph.weights[f"{part}.bias"] for part in parts]))
    y = graph.op("MultiHeadAttention", query, key, value, bias, padding, domain=MS, num_heads=heads)
    graph.attention_outputs.append(y)
    x = graph.norm(graph.op("Add", graph.linear(y, f"{at}attention.output.dense"), x), f"{at}attention.output.LayerNorm")
    y = graph.op("Gelu", graph.linear(x, f"{at}intermediate.dense"))
    return graph.norm(graph.op("Add", graph.linear(y, f"{at}output.dense"), x), f"{at}output.LayerNorm")


def _model(graph: Graph, labels: int) -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", labels])]
    constants = [numpy_helper.from_array(value, name) for name, value in graph.constants.items()]
    made = helper.make_graph(graph.nodes, "classifier", inputs, outputs, constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(MS, 1)], ir_version=10)
