"""MLServer reading from Kafka: a runtime of its own for the model, and the settings with which it starts."""

import json
import os
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

from mlserver import MLModel  # type: ignore[import-not-found]  # only in its own environment
from mlserver.codecs import NumpyCodec, StringCodec  # type: ignore[import-not-found]
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]

from benchmarks.peers.model import TAKE_S, TAKEN, Model, options

NAME = "moderation"


class Moderation(MLModel):  # type: ignore[misc]
    """A text an input row in, a row of scores out."""

    async def load(self) -> bool:
        """Open the bundle that the settings name."""
        given = self.settings.parameters.extra
        self._form = given["form"]
        self._model = Model(Path(given["bundle"]), self._form)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score all texts of a request; many requests come as one where MLServer batches."""
        texts = StringCodec.decode_input(payload.inputs[0])
        scores = self._model.in_short_runs(texts) if self._form == "tuned" else self._model.padded(texts)
        return InferenceResponse(model_name=NAME, outputs=[NumpyCodec.encode_output("scores", scores)])


def write_settings(folder: Path, given: Namespace) -> None:
    """MLServer's two files; `tuned` batches adaptively."""
    server = {
        "host": "127.0.0.1",
        "http_port": 0,
        "grpc_port": 0,
        "metrics_port": 0,
        "metrics_endpoint": None,
        "kafka_enabled": True,
        "kafka_servers": given.bootstrap,
        "kafka_topic_input": given.jobs_topic,
        "kafka_topic_output": given.results_topic,
        "debug": False,
    }
    batching = {"max_batch_size": TAKEN, "max_batch_time": TAKE_S} if given.form == "tuned" else {}
    model = {
        "name": NAME,
        "implementation": "benchmarks.peers.mlserver_runtime.Moderation",
        "parameters": {"extra": {"bundle": str(given.bundle), "form": given.form}},
        **batching,
    }
    (folder / "settings.json").write_text(json.dumps(server), "utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), "utf-8")


if __name__ == "__main__":
    made = Path(tempfile.mkdtemp(prefix="bench-mlserver-"))
    write_settings(made, options())
    program = Path(sys.executable).parent / "mlserver"
    os.execv(program, [str(program), "start", str(made)])  # noqa: S606 (it becomes MLServer, and is stopped as such)
