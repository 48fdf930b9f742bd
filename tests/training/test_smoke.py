"""The whole chain, as a person runs it: from a hundred rows of CSV to a bundle in service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.bundles import open_bundle, verify_bundle
from pipeline.policies import read_policy
from schemas.codes import Verdict

ROOT = Path(__file__).parents[2]
LIMIT_S = 280
"""On two idle cores it takes half a minute; here other tests may run beside it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training/runs/smoke.sh leaves."""
    folder = tmp_path_factory.mktemp("smoke") / "out"
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    command = [str(ROOT / "training/runs/smoke.sh"), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_chain_ends_with_a_bundle_in_service(made: Path) -> None:
    bundle = open_bundle(made / "models/current")
    verify_bundle(bundle)
    assert bundle.manifest.name == "tickets"
    assert [label.name for label in bundle.manifest.labels] == ["complaint", "other"]
    assert (made / "models/promotions.jsonl").exists()


def test_the_bundle_brings_a_policy_of_its_labels_and_canaries_that_fit_it(made: Path) -> None:
    folder = made / "models/tickets"
    assert set(read_policy(folder / "policy.toml").policy.labels) == {"complaint"}
    verdicts = {canary.verdict for canary in open_bundle(folder).manifest.canaries}
    assert Verdict.ALLOW in verdicts
    assert len(verdicts) > 1


def test_each_step_leaves_something_to_look_at(made: Path) -> None:
    for file in (
        *(
            "data/card.json",
            "data/README.md",
            "tokenizer/tokenizer.json",
            "encoder/made.json",
            "model/made.json",
            "model/log.jsonl",
        ),
        *("model/loss.png", "model/learning-rate.png", "models/tickets/README.md", "report/report.json", "report/report.html"),
        *("report/calibration.png", "report/precision-recall.png"),
    ):
        assert (made / file).stat().st_size > 0, file


def test_what_was_measured_stands_in_the_card(made: Path) -> None:
    card = (made / "models/tickets/README.md").read_text("utf-8")
    for said in (
        "| complaint | experimental |",
        "Graphs for ONNX Runtime: int8, fp32",
        "| int8 |",
        "training/runs/smoke/tickets.csv",
    ):
        assert said in card
