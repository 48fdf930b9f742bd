"""A replay: past results judged again from what they hold, and flips counted for who made them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.policies import LoadedPolicy, load_policy
from pipeline.policy_replay import UNEXPLAINED, WORDS, Replay, Tally
from schemas.codes import Verdict
from schemas.policies import Policy, WordHits
from schemas.results import InferenceResult, LabelScore
from tests.contract.samples import golden
from tests.support.policies import write_policy

ALLOW, REVIEW, BLOCK = Verdict
SAMPLE = InferenceResult.model_validate_json(golden("inference-result.json"))
OLD = "insult = { review = 0.5, block = 0.9 }\ntoxicity = { review = 0.5, block = 0.9 }"


@pytest.fixture
def old(tmp_path: Path) -> LoadedPolicy:
    """The policy that gave the results."""
    return load_policy(write_policy(tmp_path, labels=OLD))


def result(verdict: Verdict, scores: dict[str, float], over: str = "", old: LoadedPolicy | None = None, **changes: Any) -> Any:
    """A result with these scores; the labels named in `over` were over their thresholds."""
    labels = tuple(
        LabelScore(label=name, raw_score=score, score=score, over_threshold=name in over.split())
        for name, score in scores.items()
    )
    given = {"verdict": verdict, "labels": labels, "language": "en", **({"policy": old.ref} if old else {}), **changes}
    return SAMPLE.model_copy(update=given)


def policy(labels: str, folder: Path, words: str = "") -> Policy:
    return load_policy(write_policy(folder, labels=labels, words=words)).policy


def replayed(new: Policy, *results: Any, old: LoadedPolicy | None = None, examples: int = 0) -> Tally:
    replay = Replay(new, [old] if old else [], examples=examples)
    for one in results:
        replay.take(one)
    return replay.tally


def test_the_same_policy_flips_nothing(old: LoadedPolicy) -> None:
    tally = replayed(old.policy, result(BLOCK, {"insult": 0.95}, "insult"), result(REVIEW, {"insult": 0.5}, "insult"))
    assert (tally.results, tally.flips.total()) == (2, 0)


def test_flips_are_counted_by_kind_language_tenant_and_label(tmp_path: Path, old: LoadedPolicy) -> None:
    new = policy("insult = { review = 0.7, block = 0.8 }\ntoxicity = { review = 0.5, block = 0.9 }", tmp_path)
    tally = replayed(
        new,
        result(REVIEW, {"insult": 0.6, "toxicity": 0.1}, "insult", old),
        result(REVIEW, {"insult": 0.85, "toxicity": 0.6}, "insult toxicity", old, language="zh", tenant="other"),
        result(REVIEW, {"insult": 0.6, "toxicity": 0.6}, "insult toxicity", old),
        result(ALLOW, {"insult": 0.1, "toxicity": 0.1}, "", old),
        old=old,
    )
    down, up = (REVIEW, ALLOW), (REVIEW, BLOCK)
    assert tally.flips == {down: 1, up: 1}
    assert tally.by["label"] == {"insult": Counter({down: 1, up: 1})}
    assert tally.by["language"] == {"en": Counter({down: 1}), "zh": Counter({up: 1})}
    assert tally.by["tenant"] == {"acme": Counter({down: 1}), "other": Counter({up: 1})}
    assert tally.totals["tenant"] == {"acme": 3, "other": 1}
    assert tally.guessed == 0


def test_the_thresholds_of_the_texts_language_hold(tmp_path: Path) -> None:
    new = policy("insult = { review = 0.5 }\n[languages.zh]\ninsult = { review = 0.9 }", tmp_path)
    zh, en = (result(REVIEW, {"insult": 0.6}, "insult", language=language) for language in ("zh", "en"))
    assert replayed(new, zh, en).by["language"] == {"zh": Counter({(REVIEW, ALLOW): 1})}


def test_only_the_label_whose_threshold_moved_is_blamed_where_the_old_policy_is_known(tmp_path: Path, old: LoadedPolicy) -> None:
    new = policy("insult = { review = 0.5, block = 0.99 }\ntoxicity = { review = 0.5, block = 0.9 }", tmp_path)
    blocked = result(BLOCK, {"insult": 0.95, "toxicity": 0.6}, "insult toxicity", old)
    known, unknown = replayed(new, blocked, old=old), replayed(new, blocked)
    assert (set(known.by["label"]), known.guessed) == ({"insult"}, 0)
    assert (set(unknown.by["label"]), unknown.guessed) == ({"insult", "toxicity"}, 1)


def test_every_label_that_makes_a_flip_counts_it(tmp_path: Path, old: LoadedPolicy) -> None:
    new = policy("insult = { block = 0.6 }\ntoxicity = { block = 0.6 }", tmp_path)
    tally = replayed(new, result(REVIEW, {"insult": 0.7, "toxicity": 0.7}, "insult toxicity", old), old=old)
    assert tally.by["label"] == {name: Counter({(REVIEW, BLOCK): 1}) for name in ("insult", "toxicity")}
    assert tally.flips.total() == 1


LISTS = 'block = ["a"]\nreview = ["b"]\nallow = ["c"]'


@pytest.mark.parametrize(
    ("words", "hits", "before", "after"),
    [
        (LISTS, WordHits(block=(1,)), BLOCK, BLOCK),
        (LISTS, WordHits(review=(1,)), REVIEW, REVIEW),
        (LISTS, WordHits(allow=(1,), nothing_else=True), ALLOW, ALLOW),
        ("", WordHits(block=(1,)), BLOCK, REVIEW),  # the list is gone, the scores are not
        ('review = ["b"]', WordHits(block=(1,)), BLOCK, REVIEW),
        ("", WordHits(allow=(1,), nothing_else=True), ALLOW, REVIEW),
        ('block = ["a"]', WordHits(allow=(1,)), REVIEW, REVIEW),
    ],
)
def test_stored_word_hits_count_as_long_as_the_policy_has_the_list(
    tmp_path: Path, words: str, hits: WordHits, before: Verdict, after: Verdict
) -> None:
    past = result(before, {"insult": 0.6}, "insult", words=hits)
    tally = replayed(policy("insult = { review = 0.5 }", tmp_path, words), past)
    assert tally.flips == ({} if before is after else {(before, after): 1})
    assert set(tally.by["label"]) == (set() if before is after else {WORDS})


def test_a_result_that_was_not_decided_as_it_says_blames_nobody(old: LoadedPolicy) -> None:
    assert set(replayed(old.policy, result(BLOCK, {"insult": 0.6}, "insult", old), old=old).by["label"]) == {UNEXPLAINED}


def test_a_tally_tells_how_many_results_hold_words_that_count(tmp_path: Path) -> None:
    held = result(BLOCK, {"insult": 0.1}, "", words=WordHits(block=(1,)))
    plain = result(ALLOW, {"insult": 0.1})
    with_lists, without = (policy("insult = { review = 0.5 }", tmp_path, words) for words in (LISTS, ""))
    assert (replayed(with_lists, held, plain).with_words, replayed(without, held, plain).with_words) == (1, 0)


def test_so_many_examples_of_each_kind_of_flip_are_kept(tmp_path: Path, old: LoadedPolicy) -> None:
    new = policy("insult = { review = 0.7, block = 0.8 }", tmp_path)
    reviewed = [result(REVIEW, {"insult": score}, "insult", old) for score in (0.6, 0.61, 0.62, 0.85, 0.86, 0.87)]
    tally = replayed(new, *reviewed, old=old, examples=2)
    kept = [(example.flip[1], example.result.labels[0].score) for example in tally.examples]
    assert kept == [(ALLOW, 0.6), (ALLOW, 0.61), (BLOCK, 0.85), (BLOCK, 0.86)]
    assert {example.because for example in tally.examples} == {("insult",)}
    assert replayed(new, *reviewed).examples == []
