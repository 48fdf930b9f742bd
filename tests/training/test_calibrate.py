"""Calibration: a monotone map that makes a score a share."""

import numpy as np
import pytest

from schemas.bundles import Calibration
from training.calibrate import fit
from training.evaluate import calibration_error


def overconfident(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores whose log odds are three times too large, and truths."""
    random = np.random.default_rng(1)
    odds = random.normal(-1, 1.5, count)
    truth = (random.random(count) < 1 / (1 + np.exp(-odds))).astype(float)
    return 1 / (1 + np.exp(-3 * odds)), truth


def test_calibrated_scores_are_shares() -> None:
    raw, truth = overconfident()
    fitted = fit(raw, truth)
    calibrated = np.interp(raw, fitted.raw, fitted.calibrated)
    assert calibration_error(truth, raw) > 0.1
    assert calibration_error(truth, calibrated) < 0.03


def test_the_map_never_falls_and_spans_everything() -> None:
    fitted = fit(*overconfident())
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
