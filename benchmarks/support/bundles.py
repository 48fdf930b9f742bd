"""Bundles for measuring: tokenizer, labels and policy of a real one, and a graph of ours in place of its model.

Verdicts come from a look-up of token ids, by which about a quarter of ordinary texts is flagged.
"""

import hashlib
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from benchmarks.support.encoder import encoder_graph, model_of
from pipeline.bundles import Bundle, open_bundle
from pipeline.preprocess.tokenise import Tokenizer
from schemas.bundles import MANIFEST_NAME, Canary, ModelFile
from schemas.codes import Verdict

_HARMLESS, _HARMFUL = "hello my friend", "you idiot"
_ONE_TOKEN_IN: Final = 97
"""Tokens that are harmful: a text of 27 has one of them in a quarter of all cases."""
_LOGIT: Final = 4.0


def device_bundle(models_dir: Path, like: Bundle) -> Bundle:
    """Write a bundle whose graph is the look-up alone, named as `like` is; it costs next to nothing to run."""
    rows = _look_up(like)
    nodes = [
        helper.make_node("Gather", ["rows", "input_ids"], ["each"]),
        helper.make_node("ReduceMax", ["each", "tokens"], ["logits"], keepdims=0),
    ]
    constants = [numpy_helper.from_array(rows, "rows"), numpy_helper.from_array(np.array([1], np.int64), "tokens")]
    return _write(models_dir, like, model_of(nodes, constants, rows.shape[1], "device"), "fp32")


def encoder_bundle(models_dir: Path, like: Bundle, precision: Literal["fp32", "fp16"]) -> Bundle:
    """Write a bundle whose graph costs what a model of six layers costs in that precision."""
    return _write(models_dir, like, encoder_graph(precision, _look_up(like)), precision)


def _look_up(like: Bundle) -> npt.NDArray[np.float32]:
    """Logits [vocabulary, labels] that each token asks for."""
    spec = like.manifest
    harmful, harmless = (set(ids.tolist()) for ids in Tokenizer(like).encode_batch([_HARMFUL, _HARMLESS]))
    special = {spec.tokenizer.begin_id, spec.tokenizer.end_id, spec.tokenizer.pad_id}
    tokens = (set(range(0, spec.tokenizer.vocabulary_size, _ONE_TOKEN_IN)) | harmful) - harmless - special
    rows = np.full((spec.tokenizer.vocabulary_size, len(spec.labels)), -_LOGIT, np.float32)
    rows[sorted(tokens)] = _LOGIT
    return rows


def _write(models_dir: Path, like: Bundle, graph: onnx.ModelProto, precision: Literal["fp32", "fp16"]) -> Bundle:
    spec = like.manifest
    folder = models_dir / spec.name
    folder.mkdir(parents=True)
    (folder / spec.tokenizer.file).symlink_to(like.tokenizer_file.resolve())
    onnx.save(graph, folder / "model.onnx")
    sha256 = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    manifest = spec.model_copy(
        update={
            "models": (ModelFile(precision=precision, file="model.onnx", sha256=sha256, parity_max=0),),
            "canaries": (Canary(text=_HARMLESS, verdict=Verdict.ALLOW), Canary(text=_HARMFUL, verdict=Verdict.BLOCK)),
        }
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(), "utf-8")
    return open_bundle(folder)
