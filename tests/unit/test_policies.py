"""Policies: what a score means, and files that stop the start, not a job, where they are wrong."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.policies import load_policies, load_policy, policy_of
from pipeline.settings import Settings
from schemas.codes import Code, Verdict
from schemas.errors import ConfigurationError, MessageError
from schemas.policies import Policy, Threshold

GOOD = 'name = "acme"\nrelease = "7"\n[labels]\ninsult = { review = 0.5, block = 0.9 }\n'


def write(folder: Path, content: str | bytes, name: str = "acme.toml") -> Path:
    """A policy file."""
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


@pytest.mark.parametrize(
    ("threshold", "verdicts"),
    [
        (Threshold(review=0.5, block=0.9), {0.0: "allow", 0.499999: "allow", 0.5: "review", 0.9: "block", 1.0: "block"}),
        (Threshold(review=0.5), {0.49: "allow", 0.5: "review", 1.0: "review"}),
        (Threshold(block=0.9), {0.89: "allow", 0.9: "block"}),
        (Threshold(review=0.5, block=0.5), {0.49: "allow", 0.5: "block"}),
        (Threshold(review=0, block=1), {0.0: "review", 1.0: "block"}),
        (Threshold(), {0.0: "allow", 1.0: "allow"}),
    ],
)
def test_a_score_at_its_threshold_counts(threshold: Threshold, verdicts: dict[float, str]) -> None:
    assert {score: threshold.verdict(score) for score in verdicts} == {score: Verdict(name) for score, name in verdicts.items()}


@pytest.mark.parametrize(
    "fields",
    [
        {"review": 0.9, "block": 0.5},
        {"review": -0.1},
        {"block": 1.1},
        {"block": float("nan")},  # would never block
        {"block": float("inf")},
        {"block": "high"},
        {"bloc": 0.5},
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Threshold(**fields)


def test_a_language_replaces_whole_labels_and_keeps_the_others() -> None:
    general = {"insult": Threshold(review=0.5, block=0.9), "spam": Threshold(review=0.8)}
    policy = Policy(name="acme", release="1", labels=general, languages={"zh": {"insult": Threshold(block=0.7)}})
    assert policy.thresholds("zh") == {"insult": Threshold(block=0.7), "spam": Threshold(review=0.8)}
    assert policy.thresholds("en") == policy.thresholds("und") == general


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "../up"},
        {"name": "a" * 129},
        {"name": "a b"},
        {"release": ""},
        {"release": "a" * 65},
        {"version": 2},
        {"labels": None},
        {"labels": {"insult": 0.5}},
        {"languages": {"zh": {"insult": {"bloc": 0.5}}}},
        {"thresholds": {}},
    ],
)
def test_a_policy_that_breaks_the_contract_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Policy(**{"name": "acme", "release": "1", "labels": {}, **fields})


def test_a_file_is_read_and_results_can_refer_to_it(tmp_path: Path) -> None:
    loaded = load_policy(write(tmp_path, GOOD))
    assert loaded.policy.labels == {"insult": Threshold(review=0.5, block=0.9)}
    assert (loaded.ref.name, loaded.ref.release) == ("acme", "7")
    assert loaded.ref.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name = ", "Invalid value"),
        (b'name = "\xff"', "utf-8"),
        ('release = "1"\n[labels]\n', "name"),
        (GOOD.replace("0.9", "9"), "labels.insult.block"),
        (GOOD.replace("block", "blok"), "labels.insult.blok"),
        (GOOD.replace("0.9", "nan"), "labels.insult.block"),
        (GOOD.replace("acme", "other"), "which must be the file's"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path: Path, content: str | bytes, said: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(ConfigurationError) as caught:
        load_policy(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"acme\.toml"):
        load_policy(tmp_path / "acme.toml")
    with pytest.raises(ConfigurationError, match=r"no \*\.toml file"):
        load_policies(tmp_path)


def test_every_file_of_the_folder_is_a_tenant_and_one_bad_one_stops_the_start(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    write(tmp_path, GOOD.replace("acme", "other"), "other.toml")
    write(tmp_path, "no policy", "README.md")
    assert set(load_policies(tmp_path)) == {"acme", "other"}
    write(tmp_path, GOOD, "third.toml")
    with pytest.raises(ConfigurationError, match=r"third\.toml"):
        load_policies(tmp_path)


def test_a_tenant_without_a_policy_is_a_message_error(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    policies = load_policies(tmp_path)
    assert policy_of(policies, "acme") is policies["acme"]
    with pytest.raises(MessageError) as caught:
        policy_of(policies, "Acme")
    assert (caught.value.code, caught.value.path) == (Code.UNKNOWN_TENANT, "tenant")


def test_the_policies_that_come_with_the_product_are_good() -> None:
    policies = load_policies(Settings().policies_dir)
    assert policies["default"].policy.thresholds("en")
