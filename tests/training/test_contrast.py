"""Contrast sets: what flips the label is the thing and not the word, and what is held out is never trained on."""

import hashlib
import os
import random
import re
import subprocess
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from pipeline.text.normalise import normalise
from training.contrast import build, contrast, disguise, disguise_chinese, heldout
from training.contrast.codes import CODES, labels_of
from training.contrast.fill import rendered
from training.contrast.longer import CHARACTERS_MAX
from training.contrast.sets import LANGUAGES, Language, holds_held_out_word, sets, words
from training.labels import NAMES
from training.profanity import profane
from training.rows import Row
from training.sources import MODERATION

DATA = Path(__file__).parents[3] / "shared" / "data"
ONE_SIDED = {"small-talk"}
"""Phenomena that are harmless by nature."""
EVALUATION = (
    "wikipedia-1492",
    "bias-madlibs",
    "zh-templates",
    "xstest",
    "cold",
    "edos",
    "hatemoji",
    "toxic-spans-test",
    "convabuse",
)


@cache
def train() -> list[Row]:
    return list(contrast(Path()))


@cache
def held() -> list[Row]:
    return list(heldout(Path()))


def flagged(row: Row) -> bool:
    return any(value for name, value in row.labels.items() if name != "profanity")


def language_of(row: Row) -> str:
    return row.pair[:2]


def digest(rows: list[Row]) -> str:
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def test_the_same_files_give_the_same_rows_in_every_process() -> None:
    code = "import pathlib, tests.training.test_contrast as t; print(t.digest(t.train()))"
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": str(Path(__file__).parents[2])}
    other = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest(train())


def test_there_is_enough_and_no_text_comes_twice() -> None:
    keys = [build.sameness(row.text) for row in [*train(), *held()]]
    assert len(keys) == len(set(keys))
    assert 30_000 < len(train()) < 110_000
    assert 0.08 < len(held()) / len(keys) < 0.25


def test_rows_are_filled_labelled_and_say_what_they_test() -> None:
    for row in [*train(), *held()]:
        assert row.text.strip()
        assert not re.search(r"[{}]|\[[^\]]*\|", row.text)
        assert row.labels
        assert set(row.labels) <= set(NAMES)
        assert row.phenomenon
        assert row.pair
    assert {row.split for row in train()} == {"train"}
    assert {row.split for row in held()} == {"validation"}


@pytest.mark.parametrize("rows", [train, held])
def test_each_phenomenon_has_a_flagged_and_a_harmless_side_in_each_language(rows: object) -> None:
    sides: dict[tuple[str, str], Counter[bool]] = defaultdict(Counter)
    for row in rows():  # type: ignore[operator]
        sides[row.phenomenon, language_of(row)][flagged(row)] += 1
    assert {phenomenon for phenomenon, _ in sides} == {one.phenomenon for one in sets("en")} | {"spelling", "long"}
    for (phenomenon, language), side in sides.items():
        if phenomenon not in ONE_SIDED:
            share = side[True] / side.total()
            assert 0.12 < share < 0.85, f"{phenomenon} {language}: {share:.2f} flagged"


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_name_of_a_group_tells_nothing_about_the_label(language: Language) -> None:
    groups = next(entries for entries in words(language) if "G" in entries[0].forms)
    names = [entry.forms["G"].lower() for entry in groups if not entry.held_out]
    stems = [name.removesuffix("s") for name in names]  # Catholics and a Catholic are one group
    sides: dict[str, Counter[bool]] = defaultdict(Counter)
    for row in train():
        for name in {*names, *stems}:
            if name in row.text.lower():
                sides[name][flagged(row)] += 1
    for name in {*names, *stems}:
        assert sides[name].total() > 50, name
        assert 0.3 < sides[name][True] / sides[name].total() < (0.7 if name in stems else 0.75), name


def test_no_template_dominates() -> None:
    several = {"spelling", "long", *build.EVERY_WORD}
    largest = Counter(row.pair.split("-")[1] for row in train() if row.phenomenon not in several).most_common(1)
    lines = max(len(one.lines) for language in LANGUAGES for one in sets(language))
    assert largest[0][1] <= lines * (build.HARMLESS_FILLINGS_MAX + 2 * build.BORROWED_FILLINGS_MAX)


def test_decorations_come_with_both_labels() -> None:
    for mark in ("lol", "🙄", "@user", "哈哈", "[doge]", "😡", "🙏"):
        side = Counter(flagged(row) for row in train() if mark in row.text)
        assert 0.3 < side[True] / side.total() < 0.7, mark


def test_held_out_words_are_never_trained_on() -> None:
    assert not [row.text for row in train() if row.phenomenon != "spelling" and holds_held_out_word(row.text)]
    assert any(holds_held_out_word(row.text) for row in held())


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_sets_are_never_trained_on(language: Language) -> None:
    held_out = {one.name for one in sets(language) if one.held_out}
    templates = {line.template for one in sets(language) for line in one.lines if one.held_out}
    assert held_out
    assert not templates & {line.template for one in sets(language) for line in one.lines if not one.held_out}
    assert not [row.pair for row in train() if held_out & set(row.pair.split("-"))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_sets_have_names_of_their_own_and_slots_that_exist(language: Language) -> None:
    names = Counter(one.name for one in sets(language))
    known = {slot for entries in words(language) for slot in entries[0].forms}
    assert names.most_common(1)[0][1] == 1
    assert set().union(*(one.slots for one in sets(language))) <= known


@pytest.mark.parametrize("language", LANGUAGES)
def test_hundreds_of_sentences_were_written_one_by_one(language: Language) -> None:
    lines = [line.template for one in sets(language) if one.by_hand for line in one.lines]
    assert len(lines) == len(set(lines)) > 600
    assert not any("{" in line or "[" in line.replace("[doge]", "") for line in lines)


def test_lines_of_a_set_share_words_and_choices() -> None:
    forms = {"G": "cats"}
    pair = [rendered(template, forms, random.Random(3)) for template in ("{G} [are|were] vermin", "{G} [are|were] not vermin")]
    assert pair[0].replace("vermin", "not vermin") == pair[1]


@pytest.mark.parametrize(
    ("code", "text", "labels"),
    [
        ("ok", "she was called names", dict.fromkeys(NAMES, 0)),
        ("swear", "damn, nice", {**dict.fromkeys(NAMES, 0), "profanity": 1}),
        ("hate+threat", "hang them", {"identity_attack": 1, "threat": 1, "toxicity": 1, "profanity": 0}),
        ("bias", "calm down, dear", {"identity_attack": 1, "threat": 0}),
    ],
)
def test_codes_mean_labels(code: str, text: str, labels: dict[str, int]) -> None:
    assert labels.items() <= labels_of(code, text).items()


def test_what_a_code_leaves_open_stays_unknown() -> None:
    assert "toxicity" not in labels_of("bias", "calm down, dear")
    assert "insult" not in labels_of("hate", "they are vermin")
    assert "profanity" not in labels_of("ok", "he called me a bastard")
    assert "identity_attack" not in labels_of("insult", "you stupid cow")
    assert all(set(labels) <= set(NAMES) for labels in CODES.values())


@pytest.mark.parametrize(
    ("trick", "text"), [(disguise.disguised, "what a stupid person you are"), (disguise_chinese.disguised, "你真是个垃圾，滚")]
)
def test_disguises_are_many_and_some_survive_the_normaliser(trick: object, text: str) -> None:
    shown = {trick(text, random.Random(seed)) for seed in range(200)}  # type: ignore[operator]
    assert len(shown) > 40
    assert len({normalise(one).text for one in shown}) > 20


def test_profanity_is_read_from_the_undisguised_wording() -> None:
    disguised = [row for row in train() if row.phenomenon == "spelling" and row.labels.get("profanity") == 1]
    assert any(not profane(row.text) for row in disguised)


def test_long_texts_fit_the_first_window() -> None:
    for row in train():
        if row.phenomenon == "long":
            assert len(row.text) < CHARACTERS_MAX[language_of(row)] + 160  # type: ignore[index]


@pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not here")
def test_no_sentence_stands_in_an_evaluation_split() -> None:
    ours = {build.sameness(row.text) for row in [*train(), *held()]}
    ours |= {build.sameness(normalise(row.text).text) for row in train() if row.phenomenon in {"spelling", "emoji"}}
    for source in MODERATION:
        if source.name in EVALUATION:
            theirs = {build.sameness(row.text) for row in source.parse(DATA) if row.split == "test"}
            assert theirs
            assert not ours & theirs, source.name
