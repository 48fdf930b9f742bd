"""Topics: one label of several, none of which asks for anything, from prepared rows to a bundle in service."""

from pathlib import Path

import pytest
import torch

from pipeline.bundles import open_bundle
from schemas.errors import BundleError
from tests.training.conftest import TINY, write_prepared
from training.calibrate.__main__ import add_policy, calibrate_bundle
from training.calibrate.policy import Wanted
from training.data_card import load_card
from training.evaluate.__main__ import evaluate, write_figures
from training.export.__main__ import export
from training.finetune import finetune
from training.fit.team import Team
from training.prepare import load_table
from training.promote.__main__ import promote
from training.served import Served, rewrite_manifest

TOPICS = ("sport", "music")


def prepared_topics(folder: Path, *, told_apart: bool = True) -> None:
    """Rows whose first word tells the topic, or all with the first topic."""
    rows = []
    for number in range(120):
        topic = number % 2 if told_apart else 0
        split = ("train", "train", "validation", "test")[number // 2 % 4]
        labels = {name: int(place == topic) for place, name in enumerate(TOPICS)}
        text = f"w{1 + topic} w{3 + number % 90} w{100 + number % 7}"
        rows.append({"text": text, "labels": labels, "split": split, "source": "toy"})
    write_prepared(folder, rows, TOPICS, "single_label", harmless=True)


@pytest.fixture
def state(base: Path, tmp_path: Path) -> Path:
    prepared_topics(tmp_path / "prepared")
    finetune(
        TINY.model_copy(update={"epochs": 10}),
        tmp_path / "prepared",
        base,
        tmp_path / "state",
        team=Team(0, 1, torch.device("cpu")),
    )
    return tmp_path / "state"


def test_topics_go_into_service_by_texts_of_each(state: Path) -> None:
    bundle, prepared = state.parent / "models/topics", state.parent / "prepared"
    export(state, prepared, bundle, "1.0.0")
    manifest = open_bundle(bundle).manifest
    assert {(canary.label, canary.text.split()[0]) for canary in manifest.canaries} == {("sport", "w1"), ("music", "w2")}
    calibrate_bundle(bundle, load_table(prepared).where(split="validation"))
    card = load_card(prepared)
    served = Served(bundle)
    report = evaluate(served, load_table(prepared).where(split="test"), state.parent / "report", harmless=card.harmless)
    assert report["headlines"] == {"accuracy of the highest score": 1, "macro-F1 of the highest score": 1}
    assert report["groups"] == report["robustness"] == {}
    assert report["flagged"] == 0
    write_figures(bundle, report)
    assert "| accuracy of the highest score | 1.0" in (bundle / "README.md").read_text()
    assert promote(bundle, prepared) == []


def test_another_topic_of_many_texts_is_a_reason_against_a_model(state: Path) -> None:
    models, prepared = state.parent / "models", state.parent / "prepared"
    for name in ("old", "new"):
        export(state, prepared, models / name, "1.0.0")
    promote(models / "old", prepared)
    sport, music = open_bundle(models / "new").manifest.labels
    flat = sport.calibration.model_copy(update={"calibrated": (0.0, 0.0)})
    rewrite_manifest(models / "new", labels=(sport.model_copy(update={"calibration": flat}), music))
    assert any("50.0% of the decisions are others" in reason for reason in promote(models / "new", prepared))


def test_a_wrong_canary_keeps_a_model_of_topics_out_of_service(state: Path) -> None:
    bundle, prepared = state.parent / "models/topics", state.parent / "prepared"
    export(state, prepared, bundle, "1.0.0")
    first, second = open_bundle(bundle).manifest.canaries
    swapped = (first.model_copy(update={"label": second.label}), second.model_copy(update={"label": first.label}))
    rewrite_manifest(bundle, canaries=swapped)
    with pytest.raises(BundleError, match=f"got {first.label}, expected {second.label}"):
        promote(bundle, prepared)


def test_thresholds_are_not_sought_for_topics(state: Path) -> None:
    bundle, prepared = state.parent / "models/topics", state.parent / "prepared"
    export(state, prepared, bundle, "1.0.0")
    with pytest.raises(BundleError, match="no threshold to seek"):
        add_policy(bundle, load_table(prepared), load_card(prepared), Wanted())


def test_a_model_that_knows_one_topic_only_is_not_exported(base: Path, tmp_path: Path) -> None:
    prepared_topics(tmp_path / "prepared", told_apart=False)
    finetune(TINY, tmp_path / "prepared", base, tmp_path / "state", team=Team(0, 1, torch.device("cpu")))
    with pytest.raises(BundleError, match="no short one of two labels"):
        export(tmp_path / "state", tmp_path / "prepared", tmp_path / "models/topics", "1.0.0")
