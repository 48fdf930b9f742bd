"""Which language a comment is taken for, and which attributes that leaves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.gateway.perspective.attributes import ATTRIBUTES, Catalogue, severe_toxicity
from pipeline.gateway.perspective.languages import base_language, detected_languages
from pipeline.text.language import LanguageDetector
from tests.support.perspective import manifest

SPOKEN = ("en", "zh")


@pytest.fixture(scope="module")
def detect() -> Callable[[str], str]:
    return LanguageDetector().detect


def detected(text: str, detect: Callable[[str], str], spoken: tuple[str, ...] = SPOKEN) -> list[str]:
    """The languages of `text` where models know `spoken`."""
    return list(detected_languages(text, detect, spoken.__contains__))


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("You are a wonderful person and I like you a lot.", ["en"]),
        ("你是一个很好的人", ["zh"]),
        ("lol", ["en"]),
        ("you idiot 😀", ["en"]),  # with the emoji a detector says es
        ("ok…", ["en"]),  # de
        ("€5 only!", ["en"]),  # pt
        ("naïve fool", ["en"]),  # no
        ("I don’t like “that”", ["en"]),
        ("😀😀", ["en"]),
        ("123 !!!", ["en"]),
        ("https://example.com", ["en"]),
        ("Das ist doch völliger Blödsinn, was du hier wieder einmal schreibst", ["de"]),
        ("это плохо", ["ru"]),  # short, and yet no English
        ("नमस्ते दोस्त", ["mr"]),
        ("ты", ["ru"]),
        ("you idiot 😀 杀", ["en"]),
        ("Hello, my friends 你好，大家好", ["zh", "en"]),
    ],
)
def test_short_and_odd_texts_are_english_and_the_rest_is_what_it_is(
    text: str, languages: list[str], detect: Callable[[str], str]
) -> None:
    assert detected(text, detect) == languages


def test_nothing_is_assumed_that_no_model_speaks(detect: Callable[[str], str]) -> None:
    assert detected("😀", detect, spoken=("zh",)) == []
    assert detected("naïve fool", detect, spoken=("zh",)) != ["en"]


@pytest.mark.parametrize(
    ("tag", "base"),
    [("en", "en"), ("en-US", "en"), ("zh-TW", "zh"), ("zh_CN", "zh"), ("ZH-Hant", "zh"), ("hi-Latn", "hi"), ("", "")],
)
def test_a_tag_comes_down_to_its_language(tag: str, base: str) -> None:
    assert base_language(tag) == base


@pytest.mark.parametrize(
    ("name", "languages"),
    [
        *(
            (f"{name}{suffix}", "en zh")
            for name in ("TOXICITY", "SEVERE_TOXICITY", "INSULT", "PROFANITY", "THREAT", "IDENTITY_ATTACK")
            for suffix in ("", "_EXPERIMENTAL")
        ),
        ("SEXUALLY_EXPLICIT", "en zh"),
        ("SPAM", "en"),  # the label was learned from English only
        ("TOXICITY_FAST", "en"),
        ("FLIRTATION", ""),
        ("ATTACK_ON_AUTHOR", ""),
        ("CURIOSITY_EXPERIMENTAL", ""),
        ("CONSTRUCTIVE_EXPERIMENTAL", ""),
    ],
)
def test_what_is_supported_follows_the_model(name: str, languages: str, tmp_path: Path) -> None:
    catalogue = Catalogue([manifest(tmp_path)])
    assert [language for language in ("en", "zh", "fr") if catalogue.supports(name, language)] == languages.split()


def test_a_model_without_a_label_supports_no_attribute_made_of_it(tmp_path: Path) -> None:
    full = manifest(tmp_path)
    polite = full.model_copy(
        update={"labels": tuple(label for label in full.labels if label.name != "threat"), "languages": ("fr",)}
    )
    catalogue = Catalogue([polite])

    assert [name for name in ("TOXICITY", "THREAT", "SEVERE_TOXICITY") if catalogue.supports(name, "fr")] == ["TOXICITY"]
    assert catalogue.speaks("fr")
    assert not catalogue.speaks("en")


def test_the_migration_page_names_every_attribute() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "perspective.md").read_text("utf-8")
    assert [name for name in ATTRIBUTES if name.removesuffix("_EXPERIMENTAL") not in page] == []


def test_without_a_model_nothing_is_supported() -> None:
    assert not any(Catalogue([]).supports(name, "en") for name in ATTRIBUTES)


MILD = {"toxicity": 0.9, "threat": 0.1, "identity_attack": 0.05, "insult": 0.8, "profanity": 0.2, "sexual": 0}


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({}, 0.2),  # an insult without profanity is none
        ({"profanity": 0.7}, 0.7),
        ({"profanity": 0.95}, 0.8),
        ({"threat": 0.6}, 0.6),
        ({"identity_attack": 0.99}, 0.9),  # never more than toxic
        ({"toxicity": 0.01, "threat": 1}, 0.01),
    ],
)
def test_severe_is_toxic_and_grave(change: dict[str, float], score: float) -> None:
    assert severe_toxicity(MILD | change) == score


@pytest.mark.parametrize("label", MILD)
def test_severe_toxicity_never_falls_when_a_label_rises(label: str) -> None:
    scores = [severe_toxicity(MILD | {label: step / 20}) for step in range(21)]
    assert scores == sorted(scores)
