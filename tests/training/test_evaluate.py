"""Evaluation: figures of labels, groups, pairs and disguises, and a report of them all."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.bundles import open_bundle
from schemas.errors import ConfigurationError
from tests.support.toy import make_toy_bundle
from tests.training.conftest import toy_table
from training.evaluate.__main__ import differences, evaluate, write_figures
from training.evaluate.contrasts import by_phenomenon
from training.evaluate.disturb import DISTURBANCES, disturbed, kept, sample
from training.evaluate.groups import by_group, named, worst_ratio
from training.evaluate.headlines import rows_to_test
from training.evaluate.metrics import quality
from training.served import Served
from training.table import Table


def test_unknown_truths_do_not_count_and_a_single_kind_has_no_area() -> None:
    figures = quality(np.array([1, 0, np.nan, 1.0]), np.array([0.9, 0.2, 0.9, 0.4]))
    assert (figures["texts"], figures["positive"], figures["auroc"], figures["accuracy"]) == (3, 2, 1, 0.6667)
    assert quality(np.ones(3), np.ones(3))["auroc"] is None
    assert quality(np.full(2, np.nan), np.ones(2)) == {"texts": 0, "positive": 0}


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("African Americans and Muslims", {"african american", "muslim"}),
        ("he is straightforward", set()),
        ("我是一名女同性恋", {"女同性恋"}),
        ("gays and a lesbian", {"gay", "lesbian"}),
    ],
)
def test_a_group_is_the_longest_term_that_is_named(text: str, groups: set[str]) -> None:
    assert named(text) == groups


def probe() -> tuple[list[str], np.ndarray, np.ndarray]:
    """A model that takes naming Muslims for harm, and misses harm against the old."""
    texts, truth, score = [], [], []
    for harm in (0, 1):
        for group, shift in (("muslim", 0.45), ("old", -0.45), ("tall", 0.0)):
            texts += [f"a {group} person"] * 30
            truth += [harm] * 30
            score += [min(1, max(0, 0.3 + 0.4 * harm + shift))] * 30
    return texts, np.array(truth, float), np.array(score)


def test_bias_against_a_group_shows_where_borkan_et_al_say() -> None:
    texts, truth, score = probe()
    groups = by_group(texts, truth, score, score >= 0.5)
    assert set(groups) == {"muslim", "old"}  # tall is no group
    assert groups["muslim"]["subgroup_auc"] == groups["old"]["subgroup_auc"] == 1
    assert groups["muslim"]["bpsn_auc"] < 0.5 < groups["muslim"]["bnsp_auc"]
    assert groups["old"]["bnsp_auc"] < 0.5 < groups["old"]["bpsn_auc"]
    assert (groups["muslim"]["false_positive_rate"], groups["old"]["false_positive_rate"]) == (1, 0)
    assert worst_ratio(groups) == ["muslim", 2]


def test_a_group_of_few_texts_has_no_figures() -> None:
    texts, truth, score = probe()
    assert by_group(texts[:95], truth[:95], score[:95], score[:95] >= 0.5) == {}
    assert worst_ratio({}) is None


def test_a_pair_is_right_when_all_of_it_is() -> None:
    harmful, flagged = np.array([1, 0, 1, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    found = by_phenomenon(["negation"] * 4 + [""], ["a", "a", "b", "b", ""], harmful, flagged)
    assert found["negation"] == {"sentences": 4, "right": 0.75, "pairs": 2, "pairs_right": 0.5}
    assert found["all"] == found["negation"]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disguise_changes_a_text_and_does_so_the_same_way_each_time(name: str) -> None:
    text = "you are such a complete idiot and everybody here knows it"
    assert disturbed(name, text) == disturbed(name, text) != text
    assert DISTURBANCES[name]("", random.Random(1)) in {"", *DISTURBANCES["padding"]("", random.Random(1)).split("\n")}


def test_what_a_disguise_costs_is_told() -> None:
    truth = np.array([1, 1, 0, 0.0])
    before = np.array([0.9, 0.8, 0.1, 0.2]), np.array([True, True, False, False])
    after = np.array([0.9, 0.1, 0.1, 0.7]), np.array([True, False, False, True])
    found = kept(truth, before, after)
    assert (found["auroc_before"], found["flagged_before"], found["harmless_flagged_before"]) == (1, 1, 0)
    assert (found["auroc"], found["flagged"], found["harmless_flagged"]) == (0.625, 0.5, 0.5)


def test_a_sample_has_as_many_harmful_as_harmless_texts() -> None:
    truth = np.array([1.0] * 3 + [0.0] * 20 + [np.nan] * 5)
    rows = sample(truth, np.ones(28, bool), 10)
    assert sorted(truth[list(rows)]) == [0, 0, 0, 1, 1, 1]
    assert sample(truth, np.zeros(28, bool), 10) == []


def report(tmp_path: Path, table: Table) -> dict[str, object]:
    folder = make_toy_bundle(tmp_path)
    return evaluate(Served(folder), table, tmp_path / "report", robust_rows=8)


def test_a_report_is_written_as_json_and_as_one_page(tmp_path: Path) -> None:
    found = report(tmp_path, toy_table())
    page = (tmp_path / "report/report.html").read_text()
    assert found["labels"]["toxicity"]["auroc"] == 1  # type: ignore[index]
    assert found["harmless_flagged"] == {"mine": 0}
    assert json.loads((tmp_path / "report/report.json").read_text()) == json.loads(json.dumps(found))
    assert page.count("data:image/png;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert set(found["robustness"]["en"]) == {"texts", *DISTURBANCES}  # type: ignore[index]


def test_figures_go_into_the_bundle_and_its_card_and_can_be_compared(tmp_path: Path) -> None:
    found = report(tmp_path, toy_table())
    write_figures(tmp_path / "toy", found)
    manifest = open_bundle(tmp_path / "toy").manifest
    assert "| toxicity | experimental | 10 of 30 | 1.000" in (tmp_path / "toy/README.md").read_text()
    assert list(differences(manifest.metrics, found)) == []
    assert list(differences(manifest.metrics, {**found, "harmless_flagged": {"mine": 0.5}})) == [
        "mine: 0.5, and the card says 0.0"
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [(replace(toy_table(), names=tuple("abcdefghi")), "the data has labels"), (toy_table(0), "no test texts")],
    ids=["other labels", "no rows"],
)
def test_data_that_does_not_fit_is_refused(tmp_path: Path, table: Table, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        report(tmp_path, table)


def test_test_rows_leave_out_training_and_most_of_the_probes() -> None:
    sources = ["bias-madlibs"] * 20 + ["mine"] * 3 + ["contrast-heldout"]
    splits = ["test"] * 21 + ["train", "test", "validation"]
    table = Table(["t"] * 24, np.zeros((24, 1), np.float32), splits, sources, ("toxicity",))  # type: ignore[arg-type]
    assert rows_to_test(table, 10).sources == ["bias-madlibs"] * 2 + ["mine"] * 2 + ["contrast-heldout"]
