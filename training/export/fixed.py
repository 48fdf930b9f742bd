"""Copies of a graph with fixed shapes, one for each length that windows are padded to.

Workers need none: they take any shape. Runtimes that compile a graph for one shape do, and some GPUs are faster then.
"""

from pathlib import Path
from typing import Final

import onnx

from workers.plan import BUCKETS

FOLDER: Final = "fixed"


def write_fixed(graph: Path, rows: int, tokens_max: int) -> list[Path]:
    """Write `fixed/NAME.ROWSxTOKENS.onnx` beside `graph` for each length up to `tokens_max`; returns the files."""
    folder = graph.parent / FOLDER
    folder.mkdir(exist_ok=True)
    written = []
    for tokens in [*(size for size in BUCKETS if size < tokens_max), tokens_max]:
        model = onnx.load(graph)
        for value in (*model.graph.input, *model.graph.output):
            for dimension, size in zip(value.type.tensor_type.shape.dim, (rows, tokens), strict=True):
                if dimension.dim_param:
                    dimension.dim_value = size
        written.append(folder / f"{graph.stem}.{rows}x{tokens}.onnx")
        onnx.save(model, written[-1])
    return written
