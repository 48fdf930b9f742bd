"""From raw data to a model bundle: one script a step. Nothing here is needed for serving."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as in `workers`
