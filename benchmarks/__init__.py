"""What the pipeline costs, measured. Each script prints a table and ends with one line of JSON."""

import workers  # noqa: F401 (turns ONNX Runtime's telemetry off)
