"""Policies: what a score means, and files that stop the start, not a job, where they are wrong."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.policies import load_policies, load_policy, policy_of, read_policy, unscored_verdict
from pipeline.settings import Settings
from schemas.codes import Code, Verdict
from schemas.errors import ConfigurationError, MessageError
from schemas.policies import PHRASE_CHARACTERS_MAX, Policy, Threshold, WordFile, WordHits
from tests.support.policies import write_policy

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
        {"unscored": "perhaps"},
        {"words": {"block": "a"}},
        {"words": {"block": [""]}},
        {"words": {"block": ["a" * (PHRASE_CHARACTERS_MAX + 1)]}},
        {"words": {"block": {"file": "../up.txt"}}},
        {"words": {"block": {"file": ".hidden"}}},
        {"words": {"block": {"file": "a.txt", "phrases": []}}},
        {"words": {"forbid": ["a"]}},
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
        ("a = " + "[" * 50_000, "acme.toml"),
        (GOOD + '[words]\nblock = ["good", 5]\n', "words.block.list.1: "),
        (GOOD + '[words]\nblock = { fill = "a.txt" }\n', "words.block.file.fill: "),
        (GOOD + '[words]\nblock = { file = "absent.txt" }\n', "absent.txt"),
        (GOOD + '[words]\nallow = ["\u200b"]\n', "words.allow, phrase 1: "),
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


@pytest.mark.parametrize(("unscored", "verdict"), [("hold", "review"), ("allow", "allow"), ("block", "block")])
def test_a_text_without_scores_means_what_its_policy_says(tmp_path: Path, unscored: str, verdict: str) -> None:
    write_policy(tmp_path, unscored=unscored)
    policies = load_policies(tmp_path)
    assert unscored_verdict(policies, "default") == verdict
    assert unscored_verdict(policies, "nobody") is unscored_verdict(policies, None) is None


def test_by_default_a_text_without_scores_is_held(tmp_path: Path) -> None:
    assert load_policy(write(tmp_path, GOOD)).policy.unscored_verdict is Verdict.REVIEW


def test_words_stand_in_the_policy_or_in_files_beside_it_numbered_by_line(tmp_path: Path) -> None:
    content = "\ufeffbuy followers\r\n# a remark\n#\n\n  #hashtag  \n操\u2028x\n"
    (tmp_path / "blocked.txt").write_text(content, "utf-8")
    words = 'block = { file = "blocked.txt" }\nallow = ["操作"]'
    phrases = load_policy(write_policy(tmp_path, words=words)).phrases
    assert phrases is not None
    assert phrases.lists["block"] == [(1, "buy followers"), (5, "#hashtag"), (6, "操\u2028x")]
    assert phrases.find("buy followers #hashtag 操作") == WordHits(block=(1, 5), allow=(1,))


def test_a_policy_without_words_looks_for_none(tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("# nothing yet\n")
    assert load_policy(write_policy(tmp_path)).phrases is None
    assert load_policy(write_policy(tmp_path, words='block = { file = "none.txt" }')).phrases is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"good\n\xff\n", "utf-8"),
        (b"good\n" + b"a" * (PHRASE_CHARACTERS_MAX + 1), "word file words.txt, line 2: longer than 200 characters"),
        (b"a\n" * 100_001, "word file words.txt: 100,002 lines are more than 100,000"),
        ("good\n\u200b\n".encode(), "words.block, phrase 2: nothing is left of it"),
    ],
)
def test_a_bad_word_file_is_named_with_the_policy_and_the_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    file = write_policy(tmp_path, words='block = { file = "words.txt" }')
    with pytest.raises(ConfigurationError) as caught:
        load_policy(file)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_the_checksum_covers_the_word_files_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one\n")
    file = write_policy(tmp_path, words='block = { file = "words.txt" }')
    before = load_policy(file)
    (tmp_path / "other.txt").write_text("three\n")
    assert load_policy(file).ref == before.ref
    (tmp_path / "words.txt").write_text("two\n")
    assert load_policy(file).ref.sha256 not in (before.ref.sha256, hashlib.sha256(file.read_bytes()).hexdigest())


def test_what_is_known_is_kept_where_nothing_changed(tmp_path: Path) -> None:
    known = load_policy(write_policy(tmp_path))
    assert load_policy(tmp_path / "default.toml", known) is known
    assert load_policy(write_policy(tmp_path, release="2"), known) is not known


def test_a_draft_may_have_any_file_name(tmp_path: Path) -> None:
    draft = write_policy(tmp_path).rename(tmp_path / "draft-7.toml")
    assert read_policy(draft).policy.name == "default"


def test_a_list_of_a_policy_is_phrases_or_a_file() -> None:
    words = Policy(name="acme", release="1", labels={}, words={"block": ["a"], "allow": {"file": "a.txt"}}).words
    assert (words.block, words.review, words.allow) == (("a",), (), WordFile(file="a.txt"))


def test_the_example_is_good_and_has_everything() -> None:
    loaded = load_policies(Path(__file__).parents[2] / "examples" / "policies")["shop"]
    assert loaded.phrases is not None
    assert loaded.policy.languages
    assert all(loaded.phrases.lists.values())
    assert loaded.phrases.find("what a killer deal, 私下交易") == WordHits(review=(2,), allow=(1,))
