"""From a run to a bundle: what is written can be served, is told as it is, and is not written where it strays."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from pipeline.bundles import open_bundle, verify_bundle
from schemas.codes import Verdict
from schemas.errors import BundleError
from tests.training.conftest import TINY, prepared_toy, trained
from training.export import parity
from training.export.__main__ import export
from training.export.fixed import write_fixed
from training.export.parity import LIMITS, Parity, check
from training.finetune import finetune
from training.fit.team import Team
from training.made import load_model
from training.served import Served

GOOD = Parity(mean=0, largest=0, decisions_changed=0, batch=0, texts=1000)


@pytest.mark.parametrize("scales", ["mixed", "token"])
def test_a_bundle_holds_every_graph_that_was_asked_for(base: Path, tmp_path: Path, scales: str) -> None:
    state = trained(tmp_path, base)
    figures = export(
        state, tmp_path / "prepared", tmp_path / "toy", "1.2.3", precisions=("int8", "fp32", "fp16"), scales=scales, watts=50
    )
    bundle = open_bundle(tmp_path / "toy")
    verify_bundle(bundle)
    assert [file.precision for file in bundle.manifest.models] == ["int8", "fp32", "fp16"]
    assert set(figures) == {"int8", "fp32", "fp16", "embedding table of int8 alone"}
    assert figures["int8"]["batch"] == figures["fp32"]["batch"] == 0
    assert figures["fp32"]["largest"] <= figures["int8"]["largest"]
    assert {path.name for path in bundle.folder.iterdir()} == {
        *("bundle.json", "tokenizer.json", "README.md", "model.int8.onnx", "model.fp32.onnx", "model.fp16.onnx")
    }
    assert "kWh, if the machine draws 50 W" in (bundle.folder / "README.md").read_text()


def test_a_bundle_is_scored_as_pytorch_scores(base: Path, tmp_path: Path) -> None:
    state = trained(tmp_path, base)
    export(state, tmp_path / "prepared", tmp_path / "toy", "1.0.0", precisions=("fp32",))
    served, texts = Served(tmp_path / "toy"), ["w1 w2 w3", "w7", "w150 w20 w9 w9 w4"]
    windows = [text[0] for text in served.windows(texts)]
    assert np.abs(served.raw_scores(texts) - parity.torch_scores(load_model(state)[0], windows)).max() < 1e-4


def test_graphs_of_fixed_shapes_say_what_the_others_say(base: Path, tmp_path: Path) -> None:
    state = trained(tmp_path, base)
    export(state, tmp_path / "prepared", tmp_path / "toy", "1.0.0", precisions=("fp32",))
    names = [file.name for file in write_fixed(tmp_path / "toy/model.fp32.onnx", rows=2, tokens_max=16)]
    assert names == ["model.fp32.2x16.onnx"]  # windows have 16 tokens at most
    paths = [tmp_path / "toy/model.fp32.onnx", tmp_path / "toy/fixed" / names[0]]
    free, fixed = (onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in paths)
    ids = np.arange(4, 36, dtype=np.int64).reshape(2, 16)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    assert [one.shape for one in fixed.get_inputs()] == [[2, 16], [2, 16]]
    assert np.allclose(free.run(None, feed)[0], fixed.run(None, feed)[0], atol=1e-6)


def test_own_labels_bring_their_own_canaries(base: Path, tmp_path: Path) -> None:
    state = trained(tmp_path, base, ("refund",))
    export(state, tmp_path / "prepared", tmp_path / "toy", "1.0.0")
    manifest = open_bundle(tmp_path / "toy").manifest
    assert [label.name for label in manifest.labels] == ["refund"]
    assert {canary.verdict for canary in manifest.canaries} == {Verdict.ALLOW, Verdict.BLOCK}
    assert all(canary.text.startswith("w") for canary in manifest.canaries)


@pytest.mark.parametrize(
    ("precision", "found", "said"),
    [
        ("int8", GOOD._replace(batch=1e-7), "depends on its batch"),
        ("fp32", GOOD._replace(batch=1e-5), "depends on its batch"),
        ("fp16", GOOD._replace(batch=0.01), "depends on its batch"),
        ("int8", GOOD._replace(mean=0.03), "strays too far"),
        ("int8", GOOD._replace(decisions_changed=0.02), "strays too far"),
        ("fp32", GOOD._replace(largest=0.01), "strays too far"),
    ],
)
def test_a_graph_beyond_its_limits_is_refused(precision: parity.Precision, found: Parity, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        check(precision, found)


def test_a_graph_within_its_limits_is_not(base: Path) -> None:
    for precision in LIMITS:
        check(precision, GOOD)
    check("int8", GOOD._replace(decisions_changed=1 / 10, texts=10))  # one text of ten


def test_what_is_refused_leaves_the_old_bundle_in_place(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = trained(tmp_path, base)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/bundle.json").write_text("the old one")
    monkeypatch.setitem(LIMITS, "int8", LIMITS["int8"]._replace(mean=0))
    with pytest.raises(BundleError, match="strays"):
        export(state, tmp_path / "prepared", tmp_path / "toy", "1.0.0")
    assert (tmp_path / "toy/bundle.json").read_text() == "the old one"


def test_a_tagger_is_no_bundle(base: Path, tmp_path: Path) -> None:
    prepared_toy(tmp_path / "prepared", ("O", "B-X"), "token", words=True)
    finetune(TINY, tmp_path / "prepared", base, tmp_path / "run", team=Team(0, 1, torch.device("cpu")))
    with pytest.raises(BundleError, match="cannot be served"):
        export(tmp_path / "run", tmp_path / "prepared", tmp_path / "toy", "1.0.0")
