"""Deciding: calibrated scores meet the tenant's thresholds, after rounding, so that a result can be judged again."""

import numpy as np
import pytest

from pipeline.decide import DIGITS, calibrate, decide, gravest, judge
from schemas.bundles import Calibration, LabelSpec
from schemas.codes import Verdict
from schemas.policies import Policy, Threshold, WordHits


def label(name: str, calibration: Calibration | None = None) -> LabelSpec:
    return LabelSpec(name=name, description="", fold="max", grade="weak", calibration=calibration or Calibration())


THREAT, SPAM = label("threat"), label("spam")
POLICY = Policy(
    name="default",
    release="1",
    labels={"threat": Threshold(review=0.5, block=0.8)},
    languages={"zh": {"threat": Threshold(review=0.2)}},
)


def verdict(scores: list[float], language: str = "en") -> Verdict:
    return decide(np.array(scores), np.array(scores), [THREAT, SPAM], POLICY, language)[0]


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (0.4999994, Verdict.ALLOW),
        (0.4999996, Verdict.REVIEW),  # it is 0.5 in the result, and the result must explain the verdict
        (0.5, Verdict.REVIEW),
        (0.7999994, Verdict.REVIEW),
        (0.8, Verdict.BLOCK),
    ],
)
def test_the_rounded_score_decides(score: float, expected: Verdict) -> None:
    assert verdict([score, 0]) is expected


def test_a_verdict_can_be_taken_again_from_the_result_alone() -> None:
    for score in np.linspace(0.4999990, 0.5000010, 21):
        found, lines = decide(np.array([score]), np.array([score]), [THREAT], POLICY, "en")
        assert POLICY.labels["threat"].verdict(lines[0]["score"]) is found


def test_a_language_replaces_the_thresholds_of_a_label() -> None:
    assert verdict([0.3, 0], "zh") is Verdict.REVIEW
    assert verdict([0.99, 0], "zh") is Verdict.REVIEW  # the override has no block
    assert verdict([0.3, 0], "en") is Verdict.ALLOW


def test_a_label_without_a_threshold_never_moves_the_verdict() -> None:
    found, lines = decide(np.array([0.1, 1.0]), np.array([0.1, 1.0]), [THREAT, SPAM], POLICY, "en")
    assert found is Verdict.ALLOW
    assert [line["over_threshold"] for line in lines] == [False, False]


def test_the_most_severe_label_gives_the_verdict_and_each_says_its_part() -> None:
    policy = Policy(name="p", release="1", labels={"threat": Threshold(review=0.5), "spam": Threshold(block=0.5)})
    found, lines = decide(np.array([0.6, 0.6]), np.array([0.6, 0.6]), [THREAT, SPAM], policy, "en")
    assert found is Verdict.BLOCK
    assert [(line["label"], line["over_threshold"]) for line in lines] == [("threat", True), ("spam", True)]


def test_raw_and_calibrated_scores_stand_side_by_side_rounded() -> None:
    _, lines = decide(np.array([0.123456789]), np.array([0.987654321]), [THREAT], POLICY, "en")
    assert (lines[0]["raw_score"], lines[0]["score"]) == (round(0.123456789, DIGITS), round(0.987654321, DIGITS))


def test_calibration_draws_straight_lines_between_the_knots_of_each_label() -> None:
    bent = label("threat", Calibration(raw=(0.2, 0.6), calibrated=(0.1, 0.9)))
    raw = np.array([[0.0, 0.0], [0.2, 0.2], [0.4, 0.4], [0.9, 0.9]])
    assert calibrate(raw, [bent, SPAM]) == pytest.approx(np.array([[0.1, 0.0], [0.1, 0.2], [0.5, 0.4], [0.9, 0.9]]))


def test_calibration_leaves_a_failed_text_failed() -> None:
    raw = np.array([[np.nan, np.nan], [0.5, 0.5]])
    assert np.isnan(calibrate(raw, [THREAT, SPAM])).tolist() == [[True, True], [False, False]]


ALLOW, REVIEW, BLOCK = Verdict
BLOCKED, REVIEWED, ALLOWED = WordHits(block=(1,)), WordHits(review=(1,)), WordHits(allow=(1,))
ALONE = WordHits(allow=(1,), nothing_else=True)


@pytest.mark.parametrize(
    ("words", "by_score"),
    [
        (None, {0.1: ALLOW, 0.6: REVIEW, 0.9: BLOCK}),
        (WordHits(), {0.1: ALLOW, 0.6: REVIEW, 0.9: BLOCK}),
        (BLOCKED, {0.1: BLOCK, 0.6: BLOCK, 0.9: BLOCK}),
        (REVIEWED, {0.1: REVIEW, 0.6: REVIEW, 0.9: BLOCK}),
        (ALLOWED, {0.1: ALLOW, 0.6: REVIEW, 0.9: BLOCK}),  # beside it stands what has the score
        (ALONE, {0.1: ALLOW, 0.6: ALLOW, 0.9: ALLOW}),
        (WordHits(block=(1,), review=(1,)), {0.1: BLOCK}),
        (WordHits(block=(1,), allow=(1,), nothing_else=True), {0.1: BLOCK, 0.9: BLOCK}),
        (WordHits(review=(1,), allow=(1,), nothing_else=True), {0.1: REVIEW, 0.9: REVIEW}),
    ],
)
def test_words_count_beside_scores(words: WordHits | None, by_score: dict[float, Verdict]) -> None:
    for score, expected in by_score.items():
        assert decide(np.array([score]), np.array([score]), [THREAT], POLICY, "en", words)[0] is expected


def test_words_change_nothing_of_what_labels_ask_for() -> None:
    _, lines = decide(np.array([0.6]), np.array([0.6]), [THREAT], POLICY, "en", ALONE)
    assert [line["over_threshold"] for line in lines] == [True]


def test_stored_scores_are_judged_as_fresh_ones_are() -> None:
    for score in np.linspace(0, 1, 41):
        found, lines = decide(np.array([score, score]), np.array([score, score]), [THREAT, SPAM], POLICY, "zh", REVIEWED)
        stored = [(line["label"], line["score"]) for line in lines]
        again, asked = judge(stored, POLICY, "zh", REVIEWED)
        assert again is found
        assert [line["over_threshold"] for line in lines] == [verdict is not ALLOW for verdict in asked]


def test_a_text_without_labels_is_allowed() -> None:
    assert judge([], POLICY, "en") == (ALLOW, [])
    assert gravest([REVIEW, BLOCK, ALLOW]) is BLOCK
