"""Jobs to rows: normalised, their language known, routed, checked, tokenised and cut; one outcome each, in order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.bundles import open_bundle
from pipeline.policy_book import PolicyBook
from pipeline.preprocess.decode import Accepted
from pipeline.preprocess.prepare import Prepared, Rules, ServedModel, prepare
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.routing import Route, RoutingTable
from pipeline.settings import Settings
from schemas.codes import Code, Signal, Task
from schemas.errors import BundleError, ConfigurationError, MessageError
from schemas.policies import WordHits
from tests.support.policies import write_policy
from tests.support.records import BROKER_MS, NOW_MS, accepted
from tests.support.toy import NAME, OVERLAP, WINDOW, make_toy_bundle


@pytest.fixture
def rules(toy_settings: Settings) -> Rules:
    """As preprocess loads them."""
    return load_rules(toy_settings)


def row(job: Accepted, rules: Rules) -> Prepared:
    """What becomes of a job that is well."""
    (outcome,) = prepare([job], rules, NOW_MS)
    assert isinstance(outcome, Prepared), outcome
    return outcome


def refusal(job: Accepted, rules: Rules) -> MessageError:
    """Why a job is refused."""
    (outcome,) = prepare([job], rules, NOW_MS)
    assert isinstance(outcome, MessageError), outcome
    return outcome


def test_a_row_carries_all_that_later_stages_need(rules: Rules) -> None:
    job = accepted("you 1d1ot", metadata={"a": 1})
    found = row(job, rules)
    assert found.model == NAME
    assert (found.item.job, found.item.source) == (job.job, job.source)
    assert (found.item.accepted_ms, found.item.received_ms) == (BROKER_MS, NOW_MS)
    assert (found.item.language, found.item.signals, found.item.tokens_total) == ("en", (Signal.LEETSPEAK,), 2)


def test_the_folded_text_is_scored_and_the_original_is_kept(rules: Rules) -> None:
    plain, disguised = row(accepted("you idiot"), rules), row(accepted("you\u200b 1d1ot"), rules)
    assert [window.tolist() for window in disguised.windows] == [window.tolist() for window in plain.windows]
    assert disguised.item.job.text == "you\u200b 1d1ot"


@pytest.mark.parametrize("words", [1, WINDOW - 2, WINDOW - 1, 500])
def test_a_long_text_is_cut_into_windows_that_overlap(rules: Rules, words: int) -> None:
    found = row(accepted("hello friend " * (words // 2) + "filler " * (words % 2)), rules)
    (ids,) = rules.models[NAME].tokenizer.encode_batch([found.item.job.text])
    contents = [window[1:-1] for window in found.windows]
    rebuilt = np.concatenate([contents[0], *(content[OVERLAP:] for content in contents[1:])])
    assert rebuilt.tolist() == ids.tolist()
    assert found.item.tokens_total == words


@pytest.mark.parametrize(
    ("text", "hint", "language"),
    [
        ("hello friend", None, "en"),
        ("你好", None, "zh"),
        ("😀", None, "und"),
        ("hello friend", "zh-Hant-TW", "zh"),  # the sender knows better
        ("你好", "EN", "en"),
    ],
)
def test_the_language_is_the_hint_or_what_is_detected(rules: Rules, text: str, hint: str | None, language: str) -> None:
    assert row(accepted(text, language=hint), rules).item.language == language


@pytest.mark.parametrize(
    ("fields", "code", "path"),
    [
        ({"task": "poetry"}, Code.UNKNOWN_TASK, "task"),
        ({"tenant": "nobody"}, Code.UNKNOWN_TENANT, "tenant"),
        ({"tenant": "../default"}, Code.UNKNOWN_TENANT, "tenant"),
        ({"reply_to": "llmos.jobs"}, Code.REPLY_TO_NOT_ALLOWED, "reply_to"),
        ({"reply_to": "llmos.replies"}, Code.REPLY_TO_NOT_ALLOWED, "reply_to"),
        ({"deadline": "2020-01-01T00:00:00Z"}, Code.DEADLINE_PASSED, "deadline"),
        ({"text": "\u200b\u2060 \x00"}, Code.EMPTY_TEXT, "text"),
        ({"text": "\u0336"}, Code.EMPTY_TEXT, "text"),
    ],
)
def test_a_job_that_cannot_be_served_says_why(rules: Rules, fields: dict[str, Any], code: Code, path: str) -> None:
    found = refusal(accepted(**{"text": "hello", **fields}), rules)
    assert (found.code, found.path) == (code, path)


def test_a_text_of_which_no_token_is_left_is_empty(rules: Rules) -> None:
    class Mute:
        def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
            return [np.array([], np.uint16) for _ in texts]

    mute = replace(rules.models[NAME], tokenizer=Mute())
    assert refusal(accepted("hello"), replace(rules, models={NAME: mute})).code is Code.EMPTY_TEXT


@pytest.mark.parametrize(("seconds", "passed"), [(-0.001, True), (0, False), (1, False)])
def test_a_deadline_is_judged_by_the_time_of_the_record(rules: Rules, seconds: float, passed: bool) -> None:  # noqa: FBT001
    deadline = datetime.fromtimestamp(BROKER_MS / 1000, UTC) + timedelta(seconds=seconds)
    (found,) = prepare([accepted("hello", deadline=deadline)], rules, BROKER_MS + 10**9)  # whatever the clock says
    assert isinstance(found, MessageError) is passed


def test_the_ceiling_of_tokens_is_kept_to_the_token(rules: Rules) -> None:
    few = replace(rules, tokens_max=3)
    assert row(accepted("hello hello hello"), few).item.tokens_total == 3
    assert refusal(accepted("hello hello hello hello"), few).code is Code.TOO_MANY_TOKENS


def test_a_reply_topic_begins_with_the_prefix(rules: Rules) -> None:
    assert row(accepted("hello", reply_to="llmos.replies.me"), rules).item.job.reply_to == "llmos.replies.me"


def test_outcomes_stand_in_the_order_of_the_jobs(rules: Rules) -> None:
    texts = ["hello", "\u200b", "friend " * 200, "\u200b", "你好", "idiot"]
    found = prepare([accepted(text) for text in texts], rules, NOW_MS)
    assert [one.item.job.text if isinstance(one, Prepared) else one.code for one in found] == [
        *("hello", Code.EMPTY_TEXT, "friend " * 200, Code.EMPTY_TEXT, "你好", "idiot")
    ]


def test_nothing_comes_of_nothing(rules: Rules) -> None:
    assert prepare([], rules, NOW_MS) == []


def tenants(folder: Path, *names: str, words: str = "") -> PolicyBook:
    """Policies of such tenants, all with the same words."""
    for name in names:
        write_policy(folder, name, words=words)
    return PolicyBook(folder)


@pytest.fixture
def two_models(rules: Rules, tmp_path: Path) -> Rules:
    """Chinese goes to a second model with smaller windows, English of one tenant too; other languages have none."""
    bundle = open_bundle(make_toy_bundle(tmp_path, "other", window=16, overlap=4))
    routes = (
        Route(task=Task.MODERATION, language=("zh",), model="other"),
        Route(task=Task.MODERATION, language=("en",), tenant=("small",), model="other"),
        Route(task=Task.MODERATION, language=("en",), model=NAME),
    )
    models = {**rules.models, "other": ServedModel(bundle, Tokenizer(bundle), "llmos.work.other")}
    return replace(rules, routes=RoutingTable(routes=routes), models=models, policies=tenants(tmp_path, "default", "small"))


def test_each_job_goes_to_its_own_model_and_is_cut_to_its_windows(two_models: Rules) -> None:
    jobs = [accepted("hello " * 30), accepted("你好" * 15), accepted("hello " * 30, tenant="small"), accepted("hello")]
    found = [one for one in prepare(jobs, two_models, NOW_MS) if isinstance(one, Prepared)]
    assert [one.model for one in found] == [NAME, "other", "other", NAME]
    assert [max(map(len, one.windows)) for one in found] == [32, 16, 16, 3]
    assert [one.item.job for one in found] == [job.job for job in jobs]


def test_a_language_that_no_model_serves_has_no_route(two_models: Rules) -> None:
    found = refusal(accepted("Das ist ein ganz gewöhnlicher deutscher Satz."), two_models)
    assert found.code is Code.NO_ROUTE
    assert "'de'" in found.reason


def test_rules_are_checked_before_the_first_job(toy_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        load_rules(toy_settings.model_copy(update={"models_dir": tmp_path}))
    with pytest.raises(ConfigurationError):
        load_rules(toy_settings.model_copy(update={"routes_file": tmp_path / "none.toml"}))
    with pytest.raises(ConfigurationError):
        load_rules(toy_settings.model_copy(update={"policies_dir": tmp_path}))


@pytest.fixture
def with_words(rules: Rules, tmp_path: Path) -> Rules:
    """One tenant blocks a phrase, the other has no lists."""
    write_policy(tmp_path, "plain")
    return replace(rules, policies=tenants(tmp_path, "default", words='block = ["idiot"]\nallow = ["操作"]'))


def test_a_row_names_the_phrases_of_its_folded_text_and_the_policy_that_has_them(with_words: Rules) -> None:
    found = row(accepted("you 1d1ot 操作"), with_words).item
    assert found.words == WordHits(block=(1,), allow=(1,))
    assert found.words_policy == with_words.policies.current["default"].ref.sha256


def test_a_row_without_phrases_says_that_they_were_looked_for(with_words: Rules) -> None:
    found = row(accepted("hello"), with_words).item
    assert (found.words, found.words_policy) == (None, with_words.policies.current["default"].ref.sha256)


def test_a_row_of_a_tenant_without_lists_says_nothing_of_them(with_words: Rules) -> None:
    found = row(accepted("you idiot", tenant="plain"), with_words).item
    assert b"words" not in found.model_dump_json().encode()
