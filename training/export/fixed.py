"""Copies of a graph with fixed shapes, one for each of a few lengths.

Workers need none: they take any shape. Runtimes that compile a graph for one shape do, and some GPUs are faster then.
"""

from pathlib import Path
from typing import Final

import onnx

FOLDER: Final = "fixed"
LENGTHS: Final = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Fewer than a worker pads to: each is a graph of its own."""


def write_fixed(graph: Path, rows: int, tokens_max: int) -> list[Path]:
    """Write `fixed/NAME.ROWSxTOKENS.onnx` beside `graph` for each length up to `tokens_max`; returns the files."""
    folder = graph.parent / FOLDER
    folder.mkdir(exist_ok=True)
    written = []
    for tokens in [*(size for size in LENGTHS if size < tokens_max), tokens_max]:
        model = onnx.load(graph)
        for value in (*model.graph.input, *model.graph.output):
            for dimension, size in zip(value.type.tensor_type.shape.dim, (rows, tokens), strict=True):
                if dimension.dim_param:
                    dimension.dim_value = size
        written.append(folder / f"{graph.stem}.{rows}x{tokens}.onnx")
        onnx.save(model, written[-1])
    return written
