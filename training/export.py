"""A checkpoint to ONNX graphs, fp32 and int8, and how far each is from PyTorch.

    python -m training.export --state FOLDER --base ENCODER --prepared prepared.jsonl --run RUN.toml --output FOLDER
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper
from tokenizers import Tokenizer

from training.finetune import CHECKPOINT, Run, collate, encode, load_run
from training.graph import Graph, Int8Graph, write
from training.labels import NAMES
from training.model import Classifier, from_pretrained
from training.prepare import load_table

SAMPLE_TEXTS: Final = 400
"""Texts whose activations set the fixed scales; as many others measure the parity."""
_MARGIN: Final = 1.1
"""Room above the largest activation that the sample shows."""


def load_model(state: Path, base: Path, run: Run) -> Classifier:
    """The classifier of the checkpoint in `state`, ready to be asked."""
    model = from_pretrained(base, run.layers, len(NAMES))
    model.load_state_dict(torch.load(state / CHECKPOINT, weights_only=True)["model"])
    return model.eval()


def weights_of(model: Classifier) -> dict[str, npt.NDArray[np.float32]]:
    """All weights as numpy, the encoder's under their own names."""
    return {name.removeprefix("encoder.") if name.startswith("encoder.embeddings") else name.replace("encoder.encoder.", "encoder."): value.detach().numpy() for name, value in model.state_dict().items()}


def fp32_graph(model: Classifier) -> onnx.ModelProto:
    """The plain graph."""
    config = model.encoder.config
    return write(Graph(weights_of(model), config.layer_norm_eps), config.num_hidden_layers, config.num_attention_heads)


def int8_graph(model: Classifier, sample: Sequence[list[int]]) -> onnx.ModelProto:
    """The integer graph; `sample` are token ids of ordinary texts."""
    config = model.encoder.config
    attention_max = [_MARGIN * value for value in _attention_max(model, sample)]
    graph = Int8Graph(weights_of(model), config.layer_norm_eps, attention_max)
    return write(graph, config.num_hidden_layers, config.num_attention_heads)


def _attention_max(model: Classifier, sample: Sequence[list[int]]) -> list[float]:
    config = model.encoder.config
    graph = Graph(weights_of(model), config.layer_norm_eps)
    made = write(graph, config.num_hidden_layers, config.num_attention_heads)
    made.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in graph.attention_outputs)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = [[float(np.abs(value).max()) for value in session.run(graph.attention_outputs, _feed([ids]))] for ids in sample]
    return np.max(seen, axis=0).tolist()  # type: ignore[no-any-return]


def _feed(ids: Sequence[list[int]]) -> dict[str, npt.NDArray[np.int64]]:
    longest = max(map(len, ids))
    padded, mask = np.ones((len(ids), longest), np.int64), np.zeros((len(ids), longest), np.int64)
    for row, tokens in enumerate(ids):
        padded[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
    return {"input_ids": padded, "attention_mask": mask}


def parity(model: Classifier, graph: Path, sample: Sequence[list[int]]) -> npt.NDArray[np.float64]:
    """How far each probability [texts, labels] of the graph is from PyTorch's."""
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    found = np.concatenate([session.run(["logits"], _feed([ids]))[0] for ids in sample])
    with torch.no_grad():
        batches = [collate([ids], np.zeros((1, 1), np.float32), 1) for ids in sample]
        expected = torch.cat([model(batch.input_ids, batch.attention_mask) for batch in batches]).numpy()
    return np.abs(1 / (1 + np.exp(-found.astype(np.float64))) - 1 / (1 + np.exp(-expected.astype(np.float64))))


def main() -> None:
    """Write model.onnx and model.int8.onnx, print their parity."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoint")
    arguments.add_argument("--base", type=Path, required=True, help="folder of the base encoder")
    arguments.add_argument("--prepared", type=Path, required=True, help="what training.prepare wrote")
    arguments.add_argument("--run", type=Path, required=True, help="the run file")
    arguments.add_argument("--output", type=Path, required=True, help="folder for the graphs")
    given = arguments.parse_args()
    run = load_run(given.run)
    model = load_model(given.state, given.base, run)
    texts = load_table(given.prepared).where(split="validation").texts
    chosen = np.random.default_rng(run.seed).choice(len(texts), 2 * SAMPLE_TEXTS, replace=False)
    tokenizer = Tokenizer.from_file(str(given.base / "tokenizer.json"))
    ids = encode([texts[i] for i in chosen], tokenizer, run.tokens_max)
    given.output.mkdir(parents=True, exist_ok=True)
    for name, graph in (("model.onnx", fp32_graph(model)), ("model.int8.onnx", int8_graph(model, ids[:SAMPLE_TEXTS]))):
        onnx.save(graph, given.output / name)
        apart = parity(model, given.output / name, ids[SAMPLE_TEXTS:])
        print(f"{name}: probabilities differ from PyTorch by {np.median(apart):.1e} (median), {np.quantile(apart, 0.99):.1e} (p99), {apart.max():.1e}")


if __name__ == "__main__":
    main()
