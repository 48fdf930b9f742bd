"""A bundle small enough to make in a test: each known word carries its labels, and a window has those of its words.

The tokenizer knows a few words and single Chinese characters; all else is one unknown token a word. Scores do not depend on
the batch, and are 0.982 or 0.018: never near a threshold.
"""

import hashlib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from schemas.bundles import (
    BundleManifest,
    Canary,
    LabelSpec,
    ModelFile,
    TokenizerSpec,
    WindowSpec,
)
from schemas.codes import Task, Verdict

NAME = "toy"
LABELS = ("toxicity", "insult", "identity_attack", "profanity", "threat", "sexual", "self_harm", "illicit", "spam")
WORDS = {
    "idiot": ("toxicity", "insult"),
    "moron": ("toxicity", "insult"),
    "vermin": ("toxicity", "identity_attack"),
    "shit": ("profanity",),
    "kill": ("toxicity", "threat"),
    "逼": ("toxicity", "insult", "profanity"),
    "杀": ("toxicity", "threat"),
    "casino": ("spam",),
    "hello": (),
    "friend": (),
    "filler": (),
    "你": (),
    "好": (),
}
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
LOGIT = 4.0
"""Of a label that holds; its opposite of one that does not: probabilities 0.982 and 0.018."""
WINDOW, OVERLAP = 64, 16


def make_toy_bundle(models_dir: Path, name: str = NAME, *, window: int = WINDOW, overlap: int = OVERLAP) -> Path:
    """Write the bundle `name` under `models_dir`; returns its folder."""
    folder = models_dir / name
    folder.mkdir(parents=True)
    _tokenizer().save(str(folder / "tokenizer.json"))
    onnx.save(_graph(), folder / "model.onnx")
    (folder / "README.md").write_text("A toy for tests.\n", "utf-8")
    manifest = BundleManifest(
        name=name,
        release="1.0.0",
        task=Task.MODERATION,
        languages=("en", "zh"),
        head="sigmoid",
        labels=tuple(LabelSpec(name=label, description=label, fold="max", grade="experimental") for label in LABELS),
        windows=WindowSpec(tokens_max=window, overlap=overlap),
        tokenizer=TokenizerSpec(
            sha256=_sha256(folder / "tokenizer.json"),
            vocabulary_size=len(SPECIAL) + len(WORDS),
            begin_id=0,
            end_id=2,
            pad_id=1,
        ),
        models=(ModelFile(precision="fp32", file="model.onnx", sha256=_sha256(folder / "model.onnx"), parity_max=0),),
        canaries=(Canary(text="hello friend", verdict=Verdict.ALLOW), Canary(text="you idiot", verdict=Verdict.BLOCK)),
        base_model="none",
        licence="Apache-2.0",
        data=(),
        metrics={},
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    (folder / "bundle.json").write_text(manifest.model_dump_json(indent=2), "utf-8")
    return folder


def make_toy_models(folder: Path) -> dict[str, str]:
    """A models folder with the toy and a routing table for it; returns the settings, as environment variables, that serve it."""
    make_toy_bundle(folder / "models")
    routes = folder / "routes.toml"
    routes.write_text(f'[[routes]]\ntask = "moderation"\nmodel = "{NAME}"\n', "utf-8")
    assert tomllib.loads(routes.read_text("utf-8"))
    return {"LLMOS_MODELS_DIR": str(folder / "models"), "LLMOS_ROUTES_FILE": str(routes), "LLMOS_WORKER_MODEL": NAME}


def _tokenizer() -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 (a token, no password)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Split(Regex(r"\p{Han}"), "isolated")]
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _graph() -> onnx.ModelProto:
    rows = [
        [LOGIT if label in carried else -LOGIT for label in LABELS] for carried in ((),) * len(SPECIAL) + tuple(WORDS.values())
    ]
    constants = {
        "words": np.array(rows, np.float32),
        "low": np.array(-LOGIT, np.float32),
        "zero": np.array(0, np.int64),
        "last": np.array([-1], np.int64),
        "tokens": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["words", "input_ids"], ["each"]),
        helper.make_node("Equal", ["attention_mask", "zero"], ["padding"]),
        helper.make_node("Unsqueeze", ["padding", "last"], ["padded"]),
        helper.make_node("Where", ["padded", "low", "each"], ["kept"]),
        helper.make_node("ReduceMax", ["kept", "tokens"], ["logits"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", len(LABELS)])]
    initial = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
