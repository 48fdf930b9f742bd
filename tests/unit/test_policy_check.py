"""What `llmos policy check` finds odd: each oddity, and nothing about a policy that is well."""

from pathlib import Path

import pytest

from pipeline.policies import load_policy
from pipeline.policy_check import models_of, oddities
from pipeline.settings import Settings
from schemas.bundles import BundleManifest
from schemas.errors import BundleError, ConfigurationError
from tests.support.policies import write_policy
from tests.support.toy import LABELS, NAME, make_toy_bundle

SPAM = "spam = { review = 0.5, block = 0.9 }"
ALL = "\n".join(f"{label} = {{ review = 0.5, block = 0.9 }}" for label in LABELS)


@pytest.fixture
def models(toy_settings: Settings) -> list[BundleManifest]:
    """The toy."""
    return models_of(toy_settings, "default")


def odd(folder: Path, models: list[BundleManifest], labels: str = ALL, words: str = "") -> list[str]:
    """What is odd about such a policy."""
    return oddities(load_policy(write_policy(folder, labels=labels, words=words)), models)


def test_nothing_is_odd_about_a_policy_that_is_well(tmp_path: Path, models: list[BundleManifest]) -> None:
    words = 'block = ["buy followers", "操"]\nallow = ["操作"]'
    assert odd(tmp_path, models, ALL + "\n[languages.zh]\nspam = { review = 0.4, block = 0.8 }", words) == []


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (ALL + "\ninsullt = { block = 0.9 }", "labels.insullt: no model that serves this tenant has this label"),
        (ALL + "\n[languages.zh]\nspamm = { block = 0.9 }", "languages.zh.spamm: no model"),
        (ALL.replace(SPAM, ""), "labels of the model without a threshold never move the verdict"),
        (ALL.replace(SPAM, "spam = {}"), "labels without review and block never move the verdict"),
        (ALL.replace(SPAM, "spam = { review = 0.5 }"), "labels with review and without block"),
        (ALL + "\n[languages.zh-CN]\nspam = { review = 0.4, block = 0.8 }", "languages.zh-CN: texts have primary subtags"),
        (ALL + "\n[languages.ZH]\nspam = { review = 0.4, block = 0.8 }", "languages.ZH: texts have primary subtags"),
        (ALL + "\n[languages.zh]\nspam = { review = 0.4 }", "languages.zh.spam: replaces the whole of labels.spam, so block"),
        (ALL + "\n[languages.zh]\nspam = { block = 0.8 }", "languages.zh.spam: replaces the whole of labels.spam, so review"),
    ],
)
def test_what_is_odd_about_labels_is_said(tmp_path: Path, models: list[BundleManifest], labels: str, said: str) -> None:
    (found,) = odd(tmp_path, models, labels)
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('block = ["Kill", "kill"]', "words: phrase 1 of block and phrase 2 of block are the same once folded"),
        ('block = ["kill"]\nreview = ["kill"]', "words: phrase 1 of block and phrase 1 of review are the same once folded"),
        ('review = ["操", "x"]', "words.review, phrase 2: a single letter, digit or sign"),
    ],
)
def test_what_is_odd_about_words_is_said(tmp_path: Path, models: list[BundleManifest], words: str, said: str) -> None:
    assert odd(tmp_path, models, words=words) == [said]


def test_a_label_of_any_model_that_may_serve_the_tenant_is_known(toy_settings: Settings, tmp_path: Path) -> None:
    make_toy_bundle(tmp_path / "models", "other")
    routes = tmp_path / "routes.toml"
    routes.write_text(
        f"""
        [[routes]]
        task = "moderation"
        model = "other"
        tenant = ["a"]
        [[routes]]
        task = "moderation"
        model = "{NAME}"
        """
    )
    make_toy_bundle(tmp_path / "models")
    settings = toy_settings.model_copy(update={"routes_file": routes, "models_dir": tmp_path / "models"})
    assert [model.name for model in models_of(settings, "a")] == ["other", NAME]
    assert [model.name for model in models_of(settings, "b")] == [NAME]


def test_without_routes_or_models_labels_cannot_be_compared(toy_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        models_of(toy_settings.model_copy(update={"routes_file": tmp_path / "none.toml"}), "default")
    with pytest.raises(BundleError):
        models_of(toy_settings.model_copy(update={"models_dir": tmp_path}), "default")
    assert odd(tmp_path, [], ALL + "\ninsullt = { review = 0.5, block = 0.9 }") == []
