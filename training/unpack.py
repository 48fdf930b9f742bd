"""Turn a bundle back into a model that training goes on from: a base encoder that knows its subject, or the same labels further.

    python -m training.unpack --bundle models/moderation-en-zh --state runs/moderation
    python -m training.finetune --base runs/moderation …                            # labels of your own
    python -m training.finetune --base runs/moderation --from runs/moderation …     # its own labels, further

Weights come from the most exact graph that the bundle has. From int8 they are those that the workers multiply with, so nothing
is lost but what rounding lost before.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import numpy_helper
from transformers import BertConfig, BertModel

from pipeline.bundles import Bundle, open_bundle, verify_bundle
from schemas.errors import BundleError
from training.command import parser, run
from training.export.graph import GRID
from training.made import Made, finish, machine, now, refuse_finished, versions
from training.model import Classifier
from training.run_file import Run

EXACTNESS: Final = ("fp32", "fp16", "int8")
JOINT: Final = (".attention", ".attention.self")
"""Where query, key and value are one in the graph: their biases, and in int8 since 2.1.1 their weights."""
Arrays = dict[str, npt.NDArray[Any]]


def unpack(folder: Path, state: Path) -> Made:
    """Write what is in the bundle at `folder` as a finished run to `state`; returns what that run tells of itself.

    Raises BundleError for a damaged bundle and for a graph that `training.export` did not write, ConfigurationError where `state`
    holds a finished run.
    """
    refuse_finished(state)
    bundle = open_bundle(folder)
    verify_bundle(bundle)
    graph = onnx.load(bundle.folder / _best(bundle)).graph
    model = _model(bundle, graph)
    spec = bundle.manifest
    made = Made(
        task="multi_label" if spec.head == "sigmoid" else "single_label",
        names=tuple(label.name for label in spec.labels),
        run=Run(tokens_max=spec.windows.tokens_max),
        base_model=f"{spec.name} {spec.release} of {spec.base_model}",
        data=spec.name,
        rows=0,
        steps=0,
        seconds=0,
        machine=machine(torch.device("cpu"), 1),
        figures={},
        versions=versions(),
        finished_at=now(),
    )
    finish(state, model, bundle.folder, made)
    return made


def _best(bundle: Bundle) -> str:
    files = {model.precision: model.file for model in bundle.manifest.models}
    return next(files[precision] for precision in EXACTNESS if precision in files)


def _model(bundle: Bundle, graph: onnx.GraphProto) -> Classifier:
    """The encoder and head of `graph`."""
    arrays = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    try:
        state = _state(arrays)
        config = _config(graph, state, bundle.manifest.tokenizer.pad_id)
        encoder = BertModel(config, add_pooling_layer=False)  # type: ignore[no-untyped-call]
        model = Classifier(encoder, len(state["head.bias"]))
        model.load_state_dict({name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()})
    except (KeyError, StopIteration, RuntimeError) as error:
        raise BundleError(f"model bundle {bundle.folder}: its graph was not written by training.export: {error}") from error
    return model.eval()


def _state(arrays: Arrays) -> Arrays:
    """The state dictionary that `training.export` made the constants of."""
    found: Arrays = {
        "encoder.embeddings.word_embeddings.weight": arrays["words"] * arrays.get("words.scale", np.float32(1)),
        "encoder.embeddings.position_embeddings.weight": arrays["places"],  # with the one token type added
        "encoder.embeddings.token_type_embeddings.weight": np.zeros_like(arrays["places"][:1]),
    }
    for name, value in arrays.items():
        at, _, kind = name.rpartition(".")
        if kind == "int8":
            found |= _apart(at, "weight", (value * arrays[f"{at}.scale"]).T)
        elif kind == "bias" and at.endswith(JOINT):
            found |= _apart(at, "bias", value)
        elif name == "head.weight":
            found[name] = value.T / GRID
        elif name.startswith(("encoder.", "head.")) and kind in {"weight", "bias"}:
            found[name] = value.T
    return found


def _apart(at: str, kind: str, value: npt.NDArray[Any]) -> Arrays:
    """A weight or bias under its name; query, key and value, where they are one in the graph, under each of theirs."""
    if not at.endswith(JOINT):
        return {f"{at}.{kind}": value}
    parts = zip(("query", "key", "value"), np.split(value, 3), strict=True)
    return {f"{at.removesuffix('.self')}.self.{part}.{kind}": own for part, own in parts}


def _config(graph: onnx.GraphProto, state: Arrays, pad_id: int) -> BertConfig:
    """The encoder's shape, read off its weights and nodes."""
    settings = {attribute.name: attribute for node in graph.node for attribute in node.attribute}
    places, words = (state[f"encoder.embeddings.{kind}_embeddings.weight"].shape for kind in ("position", "word"))
    return BertConfig(
        vocab_size=words[0],
        hidden_size=words[1],
        num_hidden_layers=sum(name.endswith("intermediate.dense.weight") for name in state),
        num_attention_heads=settings["num_heads"].i,
        intermediate_size=len(state["encoder.encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=places[0],
        type_vocab_size=1,
        layer_norm_eps=settings["epsilon"].f,
        pad_token_id=pad_id,
    )


def main() -> None:
    """Unpack, and say what it is."""
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    arguments.add_argument("--state", type=Path, required=True, help="folder to write the model to")
    given = arguments.parse_args()
    made = unpack(given.bundle, given.state)
    print(f"{made.base_model}: {made.task} {', '.join(made.names)}")
    print(f"written to {given.state}")


if __name__ == "__main__":
    run(main)
