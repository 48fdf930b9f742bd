"""The same model for every peer: ONNX Runtime and the tokenizers library, as one would write it. No part of LLM OS."""

import json
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import tokenizers

TAKEN: Final = 256
"""Texts that a tuned peer takes at once."""
RUN_ROWS: Final = 8
"""Rows of one of its runs: of sorted texts, 8 are as fast as any number and hardly padded."""
USUAL_ROWS: Final = 32
TAKE_S: Final = 0.05
"""How long a peer waits for more texts."""

Scores = npt.NDArray[np.float32]


def options() -> Namespace:
    """What every peer is told."""
    parser = ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--form", choices=("usual", "tuned"), required=True)
    parser.add_argument("--jobs-topic", required=True)
    parser.add_argument("--results-topic", required=True)
    return parser.parse_args()


class Model:
    """A bundle's int8 graph, with ONNX Runtime's own defaults or tuned for shared cores."""

    def __init__(self, bundle: Path, form: str) -> None:
        manifest = json.loads((bundle / "bundle.json").read_text("utf-8"))
        self.labels: list[str] = [label["name"] for label in manifest["labels"]]
        self._pad_id = manifest["tokenizer"]["pad_id"]
        self._tokenizer = tokenizers.Tokenizer.from_file(str(bundle / manifest["tokenizer"]["file"]))
        self._tokenizer.enable_truncation(manifest["windows"]["tokens_max"])
        chosen = ort.SessionOptions()
        if form == "tuned":
            chosen.intra_op_num_threads = os.cpu_count() or 1
            chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = bundle / manifest["models"][0]["file"]
        self._session = ort.InferenceSession(str(file), chosen, providers=["CPUExecutionProvider"])

    def padded(self, texts: Sequence[str]) -> Scores:
        """Scores [texts, labels] of one run, padded to the longest."""
        return self._run([encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))])

    def one_by_one(self, texts: Sequence[str]) -> Scores:
        """The same of a run for each text."""
        return np.concatenate([self.padded([text]) for text in texts])

    def in_short_runs(self, texts: Sequence[str]) -> Scores:
        """The same, sorted by length and run a few at a time."""
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        scores = np.empty((len(ids), len(self.labels)), np.float32)
        for start in range(0, len(order), RUN_ROWS):
            chosen = order[start : start + RUN_ROWS]
            scores[chosen] = self._run([ids[number] for number in chosen])
        return scores

    def _run(self, rows: Sequence[Sequence[int]]) -> Scores:
        longest = max(map(len, rows))
        ids = np.full((len(rows), longest), self._pad_id, np.int64)
        mask = np.zeros_like(ids)
        for row, of_row in enumerate(rows):
            ids[row, : len(of_row)] = of_row
            mask[row, : len(of_row)] = 1
        (logits,) = self._session.run(None, {"input_ids": ids, "attention_mask": mask})
        scores: Scores = 1 / (1 + np.exp(-logits))
        return scores

    def reply(self, job_id: str, scores: Scores) -> bytes:
        """One result as JSON."""
        return json.dumps(self.answer(job_id, scores)).encode()

    def answer(self, job_id: str, scores: Scores) -> dict[str, Any]:
        """One result."""
        return {"id": job_id, "scores": dict(zip(self.labels, map(float, scores), strict=True))}
