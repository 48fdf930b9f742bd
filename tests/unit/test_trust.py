"""A hostile bundle: what it cannot make a worker do."""

import hashlib
import json
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.bundles import open_bundle, verify_bundle
from pipeline.settings import Settings
from schemas.errors import BundleError
from tests.support.toy import make_toy_bundle
from workers.session import open_session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bundle to be made hostile, beside a file that is not its own."""
    (tmp_path / "secret").write_bytes(b"not yours")
    return make_toy_bundle(tmp_path / "models")


def replace_graph(folder: Path, model: onnx.ModelProto) -> None:
    """Have the bundle hold `model`, its checksum right."""
    onnx.save(model, folder / "model.onnx")
    manifest = json.loads((folder / "bundle.json").read_text("utf-8"))
    manifest["models"][0]["sha256"] = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(manifest), "utf-8")


def test_a_graph_with_an_operator_of_its_own_is_refused(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    model.opset_import.append(helper.make_opsetid("hostile", 1))
    model.graph.node.append(helper.make_node("Shell", ["logits"], ["unused"], domain="hostile"))
    replace_graph(folder, model)
    with pytest.raises(BundleError, match=r"hostile[.:]Shell"):
        open_session(open_bundle(folder), Settings(worker_provider="cpu"))


@pytest.mark.parametrize("location", ["../../secret", "ABSOLUTE"])
def test_a_graph_cannot_read_weights_from_outside_its_folder(folder: Path, location: str) -> None:
    outside = folder.parents[1] / "secret"
    model = onnx.load(folder / "model.onnx")
    words = model.graph.initializer[0]
    words.ClearField("raw_data")
    words.data_location = TensorProto.EXTERNAL
    words.external_data.add(key="location", value=str(outside) if location == "ABSOLUTE" else location)
    replace_graph(folder, model)
    with pytest.raises(BundleError, match="cannot be opened"):
        open_session(open_bundle(folder), Settings(worker_provider="cpu"))


@pytest.mark.parametrize("name", ["../../secret", "ABSOLUTE", "..", ".", "", "sub/model.onnx"])
@pytest.mark.parametrize("field", ["models", "tokenizer"])
def test_a_manifest_cannot_name_files_outside_its_folder(folder: Path, field: str, name: str) -> None:
    outside = folder.parents[1] / "secret"
    manifest = json.loads((folder / "bundle.json").read_text("utf-8"))
    entry = manifest["models"][0] if field == "models" else manifest["tokenizer"]
    entry |= {"file": str(outside) if name == "ABSOLUTE" else name, "sha256": hashlib.sha256(outside.read_bytes()).hexdigest()}
    (folder / "bundle.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match=r"is not the name of a file in it|Is a directory"):
        verify_bundle(open_bundle(folder))
