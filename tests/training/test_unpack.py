"""A bundle becomes a run again: the same scores, and training goes on from it, with its labels or with others."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from pipeline.bundles import open_bundle
from schemas.errors import BundleError, ConfigurationError
from tests.training.conftest import trained
from training.export.__main__ import export
from training.export.bundle import sha256
from training.export.parity import Precision, torch_scores
from training.finetune import finetune
from training.fit.team import Team
from training.made import load_model
from training.model import from_pretrained
from training.run_file import Run
from training.served import Served, rewrite_manifest
from training.unpack import unpack

ALONE = Team(0, 1, torch.device("cpu"))
TEXTS = ["w1 w2 w3", "w7", "w150 w20 w9 w9 w4"]


@pytest.fixture
def state(tmp_path: Path, base: Path) -> Path:
    return trained(tmp_path, base)


def bundle(tmp_path: Path, state: Path, *precisions: Precision) -> Path:
    export(state, tmp_path / "prepared", tmp_path / "toy", "1.0.0", precisions=precisions)
    return tmp_path / "toy"


@pytest.mark.parametrize(("precision", "within"), [("fp32", 1e-4), ("fp16", 1e-3), ("int8", 0.02)])
def test_the_model_scores_as_the_bundle_was_made_to(tmp_path: Path, state: Path, precision: Precision, within: float) -> None:
    unpack(bundle(tmp_path, state, precision), tmp_path / "again")
    windows = [text[0] for text in Served(tmp_path / "toy").windows(TEXTS)]
    before, after = (torch_scores(load_model(run)[0], windows) for run in (state, tmp_path / "again"))
    assert np.abs(before - after).max() < within


def test_the_most_exact_graph_is_taken(tmp_path: Path, state: Path) -> None:
    unpack(bundle(tmp_path, state, "int8", "fp32"), tmp_path / "again")
    weights, again = (load_model(run)[0].state_dict() for run in (state, tmp_path / "again"))
    name = "encoder.encoder.layer.1.output.dense.weight"
    assert np.array_equal(weights[name].numpy(), again[name].numpy())


def test_training_goes_on_with_the_same_labels_or_begins_with_others(tmp_path: Path, state: Path) -> None:
    made = unpack(bundle(tmp_path, state, "int8"), tmp_path / "again")
    again = tmp_path / "again"
    plan = Run(tokens_max=made.run.tokens_max, epochs=1, learning_rate=1e-9, warmup=0, bfloat16=False)
    further = finetune(plan, tmp_path / "prepared", again, tmp_path / "further", team=ALONE, start=again)
    assert further.base_model == "toy 1.0.0 of base"
    before, after = (load_model(run)[0].head.weight for run in (again, tmp_path / "further"))
    assert np.allclose(before.detach().numpy(), after.detach().numpy(), atol=1e-6)
    fresh = from_pretrained(again, (), 3)
    assert fresh.head.out_features == 3
    assert all(
        np.array_equal(value.numpy(), load_model(again)[0].encoder.state_dict()[name].numpy())
        for name, value in fresh.encoder.state_dict().items()
    )


def test_a_finished_run_is_not_overwritten(tmp_path: Path, state: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds a finished run"):
        unpack(bundle(tmp_path, state, "int8"), state)


def test_a_graph_that_somebody_else_wrote_is_refused(tmp_path: Path, state: Path) -> None:
    folder = bundle(tmp_path, state, "int8")
    file = open_bundle(folder).manifest.models[0]
    onnx.save(helper.make_model(helper.make_graph([], "foreign", [], [])), folder / file.file)
    rewrite_manifest(folder, models=(file.model_copy(update={"sha256": sha256(folder / file.file)}),))
    with pytest.raises(BundleError, match=r"not written by training\.export"):
        unpack(folder, tmp_path / "again")


def test_a_damaged_bundle_is_refused(tmp_path: Path, state: Path) -> None:
    folder = bundle(tmp_path, state, "int8")
    (folder / "model.int8.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="damaged"):
        unpack(folder, tmp_path / "again")
