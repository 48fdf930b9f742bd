"""From a fine-tuned checkpoint to a model bundle that workers serve.

    python -m training.export --run training/runs/moderation.toml --state FOLDER --base ENCODER --prepared prepared.jsonl \
        --bundle models/moderation-en-zh --release 1.0.0

Writes no bundle whose int8 graph strays too far from PyTorch, or whose scores depend on what else is in the batch.
`training.calibrate` and `training.evaluate` complete the bundle.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper

from schemas.bundles import (
    MANIFEST_NAME,
    BundleManifest,
    Canary,
    DataSource,
    LabelSpec,
    ModelFile,
    TokenizerSpec,
    WindowSpec,
)
from schemas.codes import Task, Verdict
from schemas.errors import BundleError
from training.finetune import CHECKPOINT, Run, load_run
from training.graph import Fp32, Int8, Weights, classifier_graph, product_inputs
from training.labels import MODERATION, NAMES
from training.model import Classifier, from_pretrained
from training.prepare import Table, load_table
from training.served import Served
from training.sources import MODERATION as SOURCES
from workers.fold import Floats, probabilities

PARITY_TEXTS, SPAN_TEXTS = 1000, 400
SPAN_TAIL: Final = 1e-4
"""Share of a text's activations, at each end, that a fixed scale may cut off."""
MEAN_CHANGE_MAX, DECISIONS_CHANGED_MAX = 0.02, 0.01
"""Limits of int8 against PyTorch: mean change of a probability, share of decisions at 0.5 that differ."""
NEIGHBOURS: Final = 20
OVERLAP: Final = 32
"""Tokens that neighbouring windows share: a sentence that one window cuts stands whole in the next."""
AFTER_GELU: Final = ".output.dense"
"""What follows the GELU takes a scale a token: its outliers would coarsen everybody's fixed scale."""
CANARIES: Final = (
    Canary(text="Thank you, that was very helpful.", verdict=Verdict.ALLOW),
    Canary(text="你好，今天天气很好，我们一起去公园吧。", verdict=Verdict.ALLOW),
    Canary(text="Shut up, you worthless piece of shit.", verdict=Verdict.BLOCK),
    Canary(text="你这个傻逼，滚出去！", verdict=Verdict.BLOCK),
)


def load_trained(run: Run, state: Path, base: Path) -> Classifier:
    """The classifier of the checkpoint in `state`, in evaluation mode."""
    model = from_pretrained(base, run.layers, len(NAMES))
    model.load_state_dict(torch.load(state / CHECKPOINT, weights_only=True)["model"])
    return model.eval()


def weights_of(model: Classifier) -> Weights:
    """Its weights as arrays, by name."""
    return {name: value.numpy().astype(np.float32) for name, value in model.state_dict().items()}


def measure_spans(model: onnx.ModelProto, windows: Sequence[np.ndarray]) -> dict[str, tuple[float, float]]:
    """Lowest and highest input of every product of an fp32 graph over `windows`, outliers left out; by the product's name."""
    inputs = product_inputs(model)
    watched = onnx.ModelProto.FromString(model.SerializeToString())
    names = sorted(set(inputs.values()))
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    seen: dict[str, list[Floats]] = {name: [] for name in names}
    for window in windows:
        ids = window.astype(np.int64)[None]
        for name, value in zip(names, session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)}), strict=True):
            seen[name].append(np.quantile(value, [SPAN_TAIL, 1 - SPAN_TAIL]))
    spans = {name: (min(0.0, float(np.min(ends))), max(0.0, float(np.max(ends)))) for name, ends in seen.items()}
    return {product: spans[source] for product, source in inputs.items()}


def fixed_spans(spans: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Those that get a fixed scale."""
    return {name: span for name, span in spans.items() if not name.endswith(AFTER_GELU) or "attention" in name}


def torch_scores(model: Classifier, windows: Sequence[np.ndarray]) -> Floats:
    """PyTorch's probabilities [windows, labels], each window alone."""
    rows = []
    with torch.inference_mode():
        for window in windows:
            ids = torch.from_numpy(window.astype(np.int64))[None]
            rows.append(model(ids, torch.ones_like(ids)).numpy())
    return probabilities(np.concatenate(rows), "sigmoid")


def check(served: Served, expected: Floats, texts: Sequence[str]) -> dict[str, float]:
    """How far the served scores of one-window `texts` are from `expected`; raises BundleError beyond the limits."""
    together = served.raw_scores(texts)
    alone = np.concatenate([served.raw_scores([text]) for text in texts])
    some = np.concatenate([served.raw_scores(texts[at : at + NEIGHBOURS]) for at in range(0, len(texts), NEIGHBOURS)])
    moved = float(max(np.abs(alone - together).max(), np.abs(some - together).max()))
    change = np.abs(together - expected)
    decisions = float(((together > 0.5) != (expected > 0.5)).mean())  # noqa: PLR2004
    found = {"max": float(change.max()), "mean": float(change.mean()), "decisions_changed": decisions, "batch": moved}
    if moved != 0:
        raise BundleError(f"a score depends on the batch: it moves by {moved:.2e}")
    if found["mean"] > MEAN_CHANGE_MAX or decisions > DECISIONS_CHANGED_MAX:
        raise BundleError(f"int8 strays too far from PyTorch: {found}")
    return found


def manifest(folder: Path, run: Run, table: Table, *, release: str, parity_max: float) -> BundleManifest:
    """What the bundle in `folder` says of itself; calibration and metrics are still to come."""
    rows = Counter(table.where(split="train").sources)
    tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    special = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    return BundleManifest(
        name=folder.name,
        release=release,
        task=Task.MODERATION,
        languages=("en", "zh"),
        head="sigmoid",
        labels=tuple(
            LabelSpec(name=label.name, description=label.description, fold="corrected_max", grade=label.grade)
            for label in MODERATION
        ),
        windows=WindowSpec(tokens_max=run.tokens_max, overlap=OVERLAP),
        tokenizer=TokenizerSpec(
            sha256=sha256(folder / "tokenizer.json"),
            vocabulary_size=len(tokenizer["model"]["vocab"]),
            begin_id=special["<s>"],
            end_id=special["</s>"],
            pad_id=special["<pad>"],
        ),
        models=(
            ModelFile(precision="int8", file="model.int8.onnx", sha256=sha256(folder / "model.int8.onnx"), parity_max=parity_max),
        ),
        canaries=CANARIES,
        base_model="intfloat/multilingual-e5-small",
        licence="Apache-2.0",
        data=tuple(
            DataSource(name=source.name, licence=source.licence, home=source.home, rows=rows[source.name])
            for source in SOURCES
            if rows[source.name]
        ),
        metrics={},
        created_at=datetime.now(UTC).replace(microsecond=0),
    )


def sha256(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_bundle(run: Run, model: Classifier, base: Path, table: Table, folder: Path, release: str) -> dict[str, float]:
    """Write the bundle into the empty `folder` and check it; returns what was found. Raises BundleError."""
    shutil.copy(base / "tokenizer.json", folder / "tokenizer.json")
    config, weights = model.encoder.config, weights_of(model)
    shape = {"heads": config.num_attention_heads, "epsilon": config.layer_norm_eps}
    exact = classifier_graph(weights, linear=Fp32(), **shape)
    onnx.save(exact, folder / "model.int8.onnx")  # for its tokenizer's sake: replaced below
    write_manifest(folder, manifest(folder, run, table, release=release, parity_max=0))
    windows = [text[0] for text in Served(folder).windows(sample(table, "train", SPAN_TEXTS))]
    spans = fixed_spans(measure_spans(exact, windows))
    onnx.save(classifier_graph(weights, linear=Int8(spans), **shape), folder / "model.int8.onnx")
    write_manifest(folder, manifest(folder, run, table, release=release, parity_max=0))
    served = Served(folder)
    texts = [text for text in sample(table, "validation", PARITY_TEXTS) if len(served.windows([text])[0]) == 1]
    expected = torch_scores(model, [text[0] for text in served.windows(texts)])
    found = check(served, expected, texts)
    write_manifest(folder, manifest(folder, run, table, release=release, parity_max=found["max"]))
    return found


def write_manifest(folder: Path, content: BundleManifest) -> None:
    """Write `bundle.json`."""
    (folder / MANIFEST_NAME).write_text(content.model_dump_json(indent=2) + "\n", "utf-8")


def sample(table: Table, split: str, count: int) -> list[str]:
    """Texts of a split, drawn with a fixed seed."""
    texts = [text for text, own in zip(table.texts, table.splits, strict=True) if own == split]
    chosen = np.random.default_rng(11).permutation(len(texts))[:count]
    return [texts[i] for i in chosen]


def main() -> int:
    """Export; exit code 4 for a bundle that fails its checks."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, required=True, help="the run file")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoint")
    arguments.add_argument("--base", type=Path, required=True, help="folder of the base encoder")
    arguments.add_argument("--prepared", type=Path, required=True, help="what training.prepare wrote")
    arguments.add_argument("--bundle", type=Path, required=True, help="folder to write; its name is the model's")
    arguments.add_argument("--release", required=True, help="version of the model, such as 1.0.0")
    given = arguments.parse_args()
    run = load_run(given.run)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / given.bundle.name
        folder.mkdir()
        try:
            found = write_bundle(
                run, load_trained(run, given.state, given.base), given.base, load_table(given.prepared), folder, given.release
            )
        except BundleError as error:
            print(f"no bundle written: {error}", file=sys.stderr)
            return 4
        shutil.rmtree(given.bundle, ignore_errors=True)
        shutil.copytree(folder, given.bundle)
    print(json.dumps({"bundle": str(given.bundle), "parity": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
