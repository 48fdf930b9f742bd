"""Promotion: a bundle goes into service if it is no worse, what was done is written down, and it can be undone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bundles import list_bundles, open_bundle
from pipeline.decide import calibrate
from pipeline.policies import load_policies
from pipeline.preprocess.rules import load_rules
from pipeline.settings import Settings
from schemas.bundles import Calibration
from schemas.errors import BundleError, ConfigurationError
from tests.support.toy import make_toy_bundle
from tests.training.conftest import prepare_table, toy_table
from training.evaluate.measure import Measured
from training.promote.__main__ import promote
from training.promote.compare import Limits, compare
from training.promote.switch import CURRENT, rollback, switch
from training.served import rewrite_manifest

DEAF = Calibration(raw=(0.0, 0.97, 1.0), calibrated=(0.0, 0.1, 0.6))
"""Makes the toy's sure scores into doubtful ones."""


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two bundles alike, and texts to compare them on."""
    for name in ("old", "new"):
        make_toy_bundle(tmp_path / "models", name)
    prepare_table(tmp_path / "prepared", toy_table(200))
    return tmp_path / "models"


def change_labels(bundle: Path, **changes: Any) -> None:
    labels = open_bundle(bundle).manifest.labels
    rewrite_manifest(bundle, labels=tuple(label.model_copy(update=changes) for label in labels))


def log(models: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (models / "promotions.jsonl").read_text().splitlines()]


def test_the_first_bundle_needs_only_be_whole(models: Path) -> None:
    assert promote(models / "old", models.parent / "prepared") == []
    assert open_bundle(models / CURRENT).manifest.name == "old"
    assert (log(models)[0]["from"], log(models)[0]["to"]) == (None, "old")


def test_a_bundle_that_is_no_worse_is_switched_to_and_can_be_taken_back(models: Path) -> None:
    prepared = models.parent / "prepared"
    promote(models / "old", prepared)
    assert promote(models / "new", prepared) == []
    assert log(models)[1]["found"]["flipped"] == 0
    assert rollback(models) == open_bundle(models / CURRENT).manifest.name == "old"
    with pytest.raises(ConfigurationError, match="nothing was in service"):
        rollback(models)


def test_going_back_twice_goes_back_by_two(models: Path) -> None:
    make_toy_bundle(models, "newest")
    for name in ("old", "new", "newest"):
        switch(models, name, "promote")
    assert (rollback(models), rollback(models)) == ("new", "old")
    switch(models, "newest", "promote")
    assert rollback(models) == "old"


def test_nothing_to_undo_is_said(models: Path) -> None:
    with pytest.raises(ConfigurationError, match="no promotion"):
        rollback(models)


def test_a_worse_bundle_is_refused_with_reasons_and_taken_for_a_reason(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = models.parent / "prepared"
    promote(models / "old", prepared)
    rewrite_manifest(models / "new", canaries=open_bundle(models / "new").manifest.canaries)
    change_labels(models / "new", calibration=Calibration(raw=(0.0, 1.0), calibrated=(0.7, 1.0)))
    monkeypatch.setattr("training.promote.__main__._canaries", lambda *_: None)
    reasons = promote(models / "new", prepared)
    assert any("are flagged, and" in reason for reason in reasons)
    assert any("decisions are others" in reason for reason in reasons)
    assert open_bundle(models / CURRENT).manifest.name == "old"
    assert promote(models / "new", prepared, because="we want it so") == []
    assert (log(models)[1]["because"], log(models)[1]["reasons_against"]) == ("we want it so", reasons)


def measured(table: Any, scores: np.ndarray, folder: Path) -> Measured:
    manifest = open_bundle(folder).manifest
    return Measured(table, calibrate(scores, manifest.labels), manifest, load_policies(Settings().policies_dir)["default"].policy)


def test_each_kind_of_loss_is_a_reason_of_its_own(models: Path) -> None:
    table = replace(toy_table(400), texts=["a muslim" if number % 2 else "somebody" for number in range(400)])
    truth = table.column("toxicity")
    good = np.zeros((400, 9))
    good[:, 0] = np.where(truth == 1, 0.9, 0.1)
    biased, blind = good.copy(), good.copy()
    biased[(truth == 0) & (np.arange(400) % 2 == 1), 0] = 0.6
    blind[:, 0] = np.random.default_rng(1).random(400) * 0.4
    before = measured(table, good, models / "old")
    assert compare(before, before, Limits())[1] == []
    assert any("name muslim" in reason for reason in compare(before, measured(table, biased, models / "old"), Limits())[1])
    assert any("AUROC falls" in reason for reason in compare(before, measured(table, blind, models / "old"), Limits())[1])


def test_other_labels_and_damaged_bundles_are_refused(models: Path) -> None:
    prepared = models.parent / "prepared"
    promote(models / "old", prepared)
    first, *rest = open_bundle(models / "new").manifest.labels
    rewrite_manifest(models / "new", labels=(first.model_copy(update={"name": "other"}), *rest))
    assert "the labels differ" in promote(models / "new", prepared)[0]
    (models / "new/model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="damaged"):
        promote(models / "new", prepared)
    with pytest.raises(ConfigurationError, match="already"):
        promote(models / "old", prepared)


def test_what_serves_current_serves_the_bundle_it_leads_to(models: Path) -> None:
    promote(models / "new", models.parent / "prepared")
    (models.parent / "routes.toml").write_text('[[routes]]\ntask = "moderation"\nmodel = "current"\n')
    settings = Settings(models_dir=models, routes_file=models.parent / "routes.toml")
    served = load_rules(settings).models["current"]
    sha256 = served.bundle.manifest.tokenizer.sha256
    assert (served.bundle.folder.name, served.work_topic) == ("new", settings.work_topic("new", sha256))
    assert [bundle.manifest.name for bundle in list_bundles(models)] == ["new", "old"]
