"""Inference workers: they take work batches, run the model on ONNX Runtime and write results."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # ONNX Runtime would tell Microsoft of its use; it looks when it is loaded
