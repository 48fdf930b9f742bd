"""An average of two runs is a run: between them, and nothing but between what belongs together."""

from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from schemas.errors import ConfigurationError
from tests.training.conftest import trained
from training.average import average
from training.made import load_model

NAME = "encoder.encoder.layer.1.output.dense.weight"


def weights(state: Path) -> np.ndarray:
    found: np.ndarray = load_model(state)[0].state_dict()[NAME].numpy()
    return found


@pytest.fixture
def before(tmp_path: Path, base: Path) -> Path:
    return trained(tmp_path, base)


@pytest.fixture
def after(tmp_path: Path, before: Path) -> Path:
    """The same with other weights."""
    folder = copytree(before, tmp_path / "after")
    save_file({name: value + 1 for name, value in load_file(before / "model.safetensors").items()}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_it_lies_as_far_between_them_as_was_said(tmp_path: Path, before: Path, after: Path, share: float) -> None:
    average(before, after, tmp_path / "between", share)
    assert np.allclose(weights(tmp_path / "between"), weights(before) + share, atol=1e-6)


def test_other_labels_or_no_run_are_refused(tmp_path: Path, base: Path, before: Path, after: Path) -> None:
    other = trained(tmp_path / "other", base, ("refund",))
    with pytest.raises(ConfigurationError, match="not the same model"):
        average(before, other, tmp_path / "between", 0.5)
    with pytest.raises(ConfigurationError, match="no finished run"):
        average(tmp_path, after, tmp_path / "between", 0.5)
    with pytest.raises(ConfigurationError, match="holds a finished run"):
        average(before, after, before, 0.5)
