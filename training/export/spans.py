"""How large the inputs of each product become on real texts: what fixed scales of int8 are made of."""

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from training.export.graph import product_inputs

SPAN_TAIL: Final = 3e-5
"""Share of a text's activations, at each end, that a fixed scale may cut off."""
AFTER_GELU: Final = ".output.dense"
"""What follows the GELU takes a scale a token: its outliers would coarsen everybody's fixed scale."""
Scales = Literal["mixed", "fixed", "token"]
Spans = dict[str, tuple[float, float]]


def measure_spans(model: onnx.ModelProto, windows: Sequence[np.ndarray]) -> Spans:
    """Lowest and highest input of every product of an fp32 graph over `windows`, outliers left out; by the product's name."""
    inputs = product_inputs(model)
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    names = sorted(set(inputs.values()))
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    seen: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for window in windows:
        ids = window.astype(np.int64)[None]
        for name, value in zip(names, session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)}), strict=True):
            seen[name].append(np.quantile(value, [SPAN_TAIL, 1 - SPAN_TAIL]))
    spans = {name: (min(0.0, float(np.min(ends))), max(0.0, float(np.max(ends)))) for name, ends in seen.items()}
    return {product: spans[source] for product, source in inputs.items()}


def fixed_spans(spans: Spans, scales: Scales = "mixed") -> Spans:
    """Those that get a fixed scale; the rest take a scale a token."""
    if scales == "token":
        return {}
    after_gelu = {name for name in spans if name.endswith(AFTER_GELU) and "attention" not in name}
    return {name: span for name, span in spans.items() if scales == "fixed" or name not in after_gelu}
