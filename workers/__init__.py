"""Inference workers: they take work batches, run the model on ONNX Runtime and write results."""
