"""Calibration: a monotone map that makes a score a share."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.bundles import open_bundle
from pipeline.policies import read_policy
from schemas.bundles import Calibration
from schemas.codes import Verdict
from schemas.errors import BundleError
from schemas.policies import Policy, Threshold
from tests.support.toy import LABELS, make_toy_bundle
from tests.training.conftest import toy_table
from training.calibrate.__main__ import add_policy, calibrate_bundle
from training.calibrate.maps import Method, fit
from training.calibrate.policy import Wanted
from training.calibrate.thresholds import for_budget, for_precision
from training.data_card import DataCard, LabelCard
from training.evaluate.metrics import calibration_error


def overconfident(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores whose log odds are three times too large, and truths."""
    random = np.random.default_rng(1)
    odds = random.normal(-1, 1.5, count)
    truth = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-3 * odds)), truth


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibrated_scores_are_shares(method: Method) -> None:
    raw, truth = overconfident()
    fitted = fit(raw, truth, method)
    calibrated = np.interp(raw, fitted.raw, fitted.calibrated)
    assert calibration_error(truth, raw) > 0.1
    assert calibration_error(truth, calibrated) < 0.03


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_the_map_never_falls_and_spans_everything(method: Method) -> None:
    fitted = fit(*overconfident(), method)
    assert (fitted.raw[0], fitted.raw[-1]) == (0, 1)
    assert np.all(np.diff(fitted.raw) > 0)
    assert np.all(np.diff(fitted.calibrated) >= 0)


def test_unknown_labels_do_not_count() -> None:
    raw, truth = overconfident()
    unknown = np.concatenate([truth, np.full(1000, np.nan)])
    assert fit(np.concatenate([raw, np.full(1000, 0.9)]), unknown) == fit(raw, truth)


@pytest.mark.parametrize("truth", [np.zeros(50), np.ones(50), np.array([1.0] * 5 + [0.0] * 45)])
def test_too_few_texts_of_a_kind_change_nothing(truth: np.ndarray) -> None:
    assert fit(np.linspace(0.1, 0.9, 50), truth) == Calibration()


def test_calibration_error_is_zero_for_perfect_and_large_for_inverted_scores() -> None:
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    assert calibration_error(truth, truth) == 0
    assert calibration_error(truth, 1 - truth) == 1


def test_few_texts_make_no_free_form_map() -> None:
    raw, truth = overconfident(120)
    assert fit(raw, truth, "isotonic") == fit(raw, truth, "platt")


def test_a_threshold_keeps_the_precision_that_was_wanted_and_no_lower_one_does() -> None:
    score = np.round(np.linspace(0, 1, 1001), 3)
    truth = (np.random.default_rng(3).random(1001) < score).astype(float)
    for wanted in (0.6, 0.8, 0.95):
        threshold = for_precision(truth, score, wanted)
        assert threshold is not None
        assert truth[score >= threshold].mean() >= wanted
        lower = [truth[score >= cut].mean() for cut in score[score < threshold]]
        assert max(lower) < wanted


def test_no_threshold_is_found_where_the_precision_is_never_reached() -> None:
    assert for_precision(np.zeros(50), np.linspace(0, 1, 50), 0.5) is None
    assert for_precision(np.array([1.0, 1.0, np.nan]), np.array([0.9, 0.8, 0.7]), 0.5) is None  # two texts prove nothing


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 1.0])
def test_a_budget_is_kept_and_used(share: float) -> None:
    scores = np.random.default_rng(4).random((2000, 3)) ** 3
    flagged = (scores.max(axis=1) >= for_budget(scores, share)).mean()
    assert share - 0.01 <= flagged <= share


TABLE = toy_table(60)


def with_policy(tmp_path: Path, wanted: Wanted, harmless: bool = False) -> tuple[Path, Policy]:  # noqa: FBT001, FBT002
    folder = make_toy_bundle(tmp_path)
    labels = tuple(LabelCard(name=name, harmless=harmless and name == "toxicity") for name in LABELS)
    empty = {"counts": {}, "languages": {}, "characters": {}, "dropped": {}, "shards": {}, "sources": ()}
    card = DataCard(name="mine", task="multi_label", labels=(*labels[:-1], LabelCard(name="mine")), **empty)
    return folder, add_policy(folder, TABLE, card, wanted)


def test_thresholds_become_a_policy_whose_canaries_the_bundle_has(tmp_path: Path) -> None:
    folder, policy = with_policy(tmp_path, Wanted())
    assert read_policy(folder / "policy.toml").policy == policy
    assert policy.labels["toxicity"].review == policy.labels["toxicity"].block == pytest.approx(0.982)
    assert policy.labels["spam"] == Threshold(review=0.5, block=0.9)  # no text tells of it
    verdicts = {canary.text.split()[1]: canary.verdict for canary in open_bundle(folder).manifest.canaries}
    assert verdicts == {"idiot": Verdict.BLOCK, "friend": Verdict.ALLOW}


@pytest.mark.parametrize(("harmless", "said"), [(False, "every canary means allow"), (True, "no short one is harmful")])
def test_thresholds_that_flag_nothing_are_refused(tmp_path: Path, harmless: bool, said: str) -> None:  # noqa: FBT001
    with pytest.raises(BundleError, match=said):
        with_policy(tmp_path, Wanted(review_budget=0.0), harmless)


def test_a_review_budget_is_one_threshold_for_all(tmp_path: Path) -> None:
    _, policy = with_policy(tmp_path, Wanted(review_budget=0.5))
    assert len({threshold.review for threshold in policy.labels.values()}) == 1
    assert all(threshold.block >= threshold.review for threshold in policy.labels.values())  # type: ignore[operator]


def test_calibrating_a_bundle_leaves_labels_without_texts_as_they_are(tmp_path: Path) -> None:
    folder = make_toy_bundle(tmp_path)
    calibrate_bundle(folder, TABLE)
    maps = {label.name: label.calibration for label in open_bundle(folder).manifest.labels}
    assert maps["toxicity"] != Calibration() == maps["spam"]
