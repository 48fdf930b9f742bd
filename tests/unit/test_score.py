"""Scoring: every job of every record leads to one result or one dead letter, and a repeat is the same again."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from schemas.codes import Code, Verdict
from schemas.dead_letters import DeadLetter
from schemas.errors import MessageError, TransientError
from schemas.jobs import TextJob
from schemas.policies import WordHits
from schemas.results import InferenceResult
from schemas.work import Source, WorkBatch, WorkDescription
from tests.support.exposition import sample
from tests.support.policies import TimedBook, write_policy
from tests.support.toy import WORDS
from tests.support.work import NOW_MS, ToyWorker, job, pack_jobs, work_record
from workers.score import WorkRecord

FILLER = 4 + list(WORDS).index("filler")
"""The token on which the failing models of these tests fail."""
TEXTS = st.lists(st.sampled_from(["hello", "kill", "你", "filler"]), min_size=1, max_size=90).map(" ".join)


@pytest.fixture
def worker(toy_settings: Settings) -> ToyWorker:
    return ToyWorker(toy_settings)


def outcomes(outgoing: Sequence[Outgoing]) -> dict[str, InferenceResult | DeadLetter]:
    """By job id, from the results and dead-letters topics; fails on a second outcome of a job."""
    found: dict[str, InferenceResult | DeadLetter] = {}
    for out in outgoing:
        if out.topic in ("llmos.results", "llmos.dead-letters"):
            kind = InferenceResult if out.topic == "llmos.results" else DeadLetter
            outcome = kind.model_validate_json(out.value)
            assert str(outcome.job_id) not in found, "one outcome a job"
            found[str(outcome.job_id)] = outcome
    return found


def dead(outgoing: Sequence[Outgoing]) -> DeadLetter:
    (letter,) = [DeadLetter.model_validate_json(out.value) for out in outgoing if out.topic == "llmos.dead-letters"]
    return letter


def nan_on_filler(worker: ToyWorker) -> ToyWorker:
    """The same, with a model that has no number for a window that holds the word filler."""
    run = worker.inference._run

    def failing(ids: Any, mask: Any) -> Any:
        return np.where((ids == FILLER).any(axis=1, keepdims=True), np.nan, run(ids, mask)).astype(np.float32)

    return ToyWorker(worker.settings, failing)


def test_a_harmful_text_is_blocked_and_a_harmless_one_let_through(worker: ToyWorker) -> None:
    found = outcomes(worker.scorer.score([work_record(worker.pack("hello friend", "you idiot"))]))
    assert {job_id: outcome.verdict for job_id, outcome in found.items()} == {"hello friend": "allow", "you idiot": "block"}
    assert [line.label for line in found["you idiot"].labels if line.over_threshold] == ["toxicity", "insult"]


@hypothesis_settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(TEXTS, min_size=1, max_size=6), max_size=5))
def test_every_job_of_every_record_has_exactly_one_outcome(worker: ToyWorker, records: list[list[str]]) -> None:
    failing = nan_on_filler(worker)
    named = [[job(text, f"{place}-{number}") for number, text in enumerate(texts)] for place, texts in enumerate(records)]
    outgoing = failing.scorer.score([work_record(pack_jobs(worker.bundle, jobs), place) for place, jobs in enumerate(named)])
    found = outcomes(outgoing)
    assert found.keys() == {one.job_id for jobs in named for one in jobs}
    for one in (one for jobs in named for one in jobs):
        assert isinstance(found[one.job_id], DeadLetter) == ("filler" in one.text)


def test_only_flagged_results_also_go_to_the_flagged_topic(worker: ToyWorker) -> None:
    outgoing = worker.scorer.score([work_record(worker.pack("hello", "casino", "kill"))])
    by_topic = Counter(out.topic for out in outgoing)
    assert by_topic == {"llmos.results": 3, "llmos.flagged": 2}
    assert {out.key for out in outgoing if out.topic == "llmos.flagged"} == {b"casino", b"kill"}


def test_a_reply_topic_gets_a_copy_of_the_result_or_the_dead_letter_and_is_optional(worker: ToyWorker) -> None:
    failing = nan_on_filler(worker)
    jobs = [job("hello", reply_to="llmos.replies.a"), job("filler", reply_to="llmos.replies.b"), job("friend")]
    outgoing = failing.scorer.score([work_record(pack_jobs(worker.bundle, jobs))])
    replies = {out.topic: out for out in outgoing if out.optional}
    originals = {out.key: out.value for out in outgoing if not out.optional}
    assert replies.keys() == {"llmos.replies.a", "llmos.replies.b"}
    assert all(reply.value == originals[reply.key] for reply in replies.values())


def test_a_corrupt_record_is_one_dead_letter_with_its_bytes(worker: ToyWorker) -> None:
    error = MessageError(Code.WORK_CORRUPT, "checksum does not match: truncated or damaged")
    record = WorkRecord(Source(topic="llmos.work.toy", partition=3, offset=7), b"\xff\x00damaged", error)
    letter = dead(worker.scorer.score([record, work_record(worker.pack("hello"))]))
    assert (letter.code, letter.job_id, letter.stage) == (Code.WORK_CORRUPT, None, "worker")
    assert letter.original.value is not None
    assert letter.original.value.to_bytes() == b"\xff\x00damaged"
    assert (letter.source.partition, letter.source.offset) == (3, 7)


def changed(record: WorkRecord, **changes: Any) -> WorkRecord:
    assert isinstance(record.batch, WorkBatch)
    fields = {name: getattr(record.batch, name) for name in WorkBatch.__dataclass_fields__}
    return WorkRecord(record.source, record.value, WorkBatch(**fields | changes))


def test_a_batch_of_another_tokenizer_is_refused_job_by_job(worker: ToyWorker) -> None:
    record = changed(work_record(worker.pack("hello", "kill")), tokenizer_sha256="0" * 64)
    found = outcomes(worker.scorer.score([record]))
    assert {job_id: outcome.code for job_id, outcome in found.items()} == dict.fromkeys(
        ["hello", "kill"], Code.TOKENIZER_MISMATCH
    )


def test_a_token_beyond_the_vocabulary_is_refused_before_the_model_sees_it(worker: ToyWorker) -> None:
    record = work_record(worker.pack("hello", "kill"))
    assert isinstance(record.batch, WorkBatch)
    tokens = record.batch.tokens.copy()
    tokens[1] = worker.bundle.manifest.tokenizer.vocabulary_size
    found = outcomes(worker.scorer.score([changed(record, tokens=tokens), work_record(worker.pack("friend"), offset=1)]))
    assert {job_id: getattr(outcome, "code", None) for job_id, outcome in found.items()} == {
        "hello": Code.WORK_CORRUPT,
        "kill": Code.WORK_CORRUPT,
        "friend": None,
    }


def test_a_tenant_whose_policy_is_gone_is_dead_lettered_alone(worker: ToyWorker) -> None:
    jobs = [job("hello", tenant="gone"), job("friend")]
    found = outcomes(worker.scorer.score([work_record(pack_jobs(worker.bundle, jobs))]))
    assert found["hello"].code is Code.UNKNOWN_TENANT
    assert found["friend"].verdict is Verdict.ALLOW


def test_a_failed_text_is_dead_lettered_as_the_job_it_was(worker: ToyWorker) -> None:
    original = job("hello filler", "the id", tenant="default", reply_to="llmos.replies.x", metadata={"mine": [1, "二"]})
    record = work_record(pack_jobs(worker.bundle, [job("kill"), original]), attempt=2)
    outgoing = nan_on_filler(worker).scorer.score([record])
    letter = dead(outgoing)
    assert (letter.code, letter.job_id, letter.attempts, letter.reply_to) == (
        Code.INFERENCE_FAILED,
        "the id",
        2,
        "llmos.replies.x",
    )
    assert letter.original.value is not None
    assert TextJob.model_validate_json(letter.original.value.to_bytes()) == original
    assert (letter.source.topic, letter.source.index) == ("llmos.jobs", 1)
    assert letter.versions["toy"] == "1.0.0"


def test_a_failed_window_fails_its_text_and_no_other(worker: ToyWorker) -> None:
    long_text = "hello " * 100 + "filler"
    found = outcomes(nan_on_filler(worker).scorer.score([work_record(worker.pack("hello", long_text, "kill"))]))
    assert [job_id for job_id, outcome in found.items() if isinstance(outcome, DeadLetter)] == [long_text[:200]]


def test_a_lost_device_leads_to_nothing_at_all(worker: ToyWorker) -> None:
    def gone(ids: Any, mask: Any) -> Any:
        raise RuntimeError("CUDA failure 999: unknown error")

    with pytest.raises(TransientError):
        ToyWorker(worker.settings, gone).scorer.score([work_record(worker.pack("hello"))])


def test_all_of_a_long_text_is_scored_and_harm_at_its_end_is_found(worker: ToyWorker) -> None:
    found = outcomes(worker.scorer.score([work_record(worker.pack("filler " * 500 + "kill"))]))
    (outcome,) = found.values()
    assert outcome.verdict is Verdict.BLOCK
    assert outcome.coverage.tokens_scored == outcome.coverage.tokens_total == 501
    assert outcome.coverage.windows > 1


def unvarying(outgoing: Sequence[Outgoing]) -> list[Any]:
    """All that may not vary from one time to the next, dead letters' times and attempts left out as well."""
    varies = ("timings", "attempt", "failed_at", "attempts")
    return [(out.topic, out.key, [item for item in json.loads(out.value).items() if item[0] not in varies]) for out in outgoing]


def test_a_repeat_is_the_same_but_for_timings_and_attempt(worker: ToyWorker) -> None:
    failing = nan_on_filler(worker)
    value = worker.pack("you idiot", "filler", "hello", "杀 " * 90)
    first = failing.scorer.score([work_record(value)])
    failing.now_ms += 12_345
    again = failing.scorer.score([work_record(worker.pack("casino " * 70)), work_record(value, attempt=3)])[-len(first) :]
    assert unvarying(sorted(again, key=str)) == unvarying(sorted(first, key=str))
    assert all(out.value != before.value for out, before in zip(sorted(again, key=str), sorted(first, key=str), strict=True))


def test_the_bytes_of_a_repeat_under_a_standing_clock_are_the_same(worker: ToyWorker) -> None:
    record = work_record(worker.pack("you idiot", "hello"))
    assert worker.scorer.score([record]) == worker.scorer.score([record])


def test_timings_add_up(worker: ToyWorker) -> None:
    ticks = iter(range(NOW_MS, NOW_MS + 1000, 10))
    worker.scorer._clock_ms = worker.recorder._clock_ms = lambda: next(ticks)
    (found,) = outcomes(worker.scorer.score([work_record(worker.pack("hello"))])).values()
    timings = found.timings
    assert (timings.wait_ms, timings.preprocess_ms, timings.queue_ms, timings.infer_ms) == (20, 30, 50, 10)
    assert timings.total_ms == 110


def test_no_records_lead_to_nothing(worker: ToyWorker) -> None:
    assert worker.scorer.score([]) == []


BLOCKS_HELLO = 'block = ["hello"]\nallow = ["kill"]'


@pytest.fixture
def timed(worker: ToyWorker, tmp_path: Path) -> TimedBook:
    """The worker's policies, now from files of this test: the default one blocks hello and allows kill."""
    write_policy(tmp_path, words=BLOCKS_HELLO)
    timed = TimedBook(tmp_path)
    worker.scorer._policies = worker.recorder._policies = timed.book
    return timed


def matched(record: WorkRecord, words: WordHits | None, policy: str) -> WorkRecord:
    """The same record, as preprocess writes it with what it found under that policy."""
    assert isinstance(record.batch, WorkBatch)
    items = tuple(one.model_copy(update={"words": words, "words_policy": policy}) for one in record.batch.description.items)
    return changed(record, description=WorkDescription(packed_ms=NOW_MS, items=items))


def test_phrases_decide_and_stand_in_the_result(worker: ToyWorker, timed: TimedBook) -> None:
    record = work_record(pack_jobs(worker.bundle, [job("hello friend"), job("kill"), job("friend")]))
    found = outcomes(worker.scorer.score([record]))
    assert {job_id: (one.verdict, one.words) for job_id, one in found.items()} == {
        "hello friend": (Verdict.BLOCK, WordHits(block=(1,))),
        "kill": (Verdict.ALLOW, WordHits(allow=(1,), nothing_else=True)),
        "friend": (Verdict.ALLOW, None),
    }
    assert {one.policy.sha256 for one in found.values()} == {timed.book.current["default"].ref.sha256}


def test_what_preprocess_found_under_the_same_policy_is_not_looked_for_again(worker: ToyWorker, timed: TimedBook) -> None:
    ours = timed.book.current["default"].ref.sha256
    record = matched(work_record(worker.pack("friend")), WordHits(block=(7,)), ours)
    (found,) = outcomes(worker.scorer.score([record])).values()
    assert (found.verdict, found.words) == (Verdict.BLOCK, WordHits(block=(7,)))


@pytest.mark.parametrize("text", ["hello", "h e l l o", "ｈｅｌｌｏ"])
def test_what_preprocess_found_under_another_policy_is_looked_for_anew_in_the_folded_text(
    worker: ToyWorker, timed: TimedBook, text: str
) -> None:
    record = matched(work_record(worker.pack(text)), WordHits(review=(7,)), "0" * 64)
    (found,) = outcomes(worker.scorer.score([record])).values()
    assert found.words == (None if text == "h e l l o" else WordHits(block=(1,)))  # no word of the lexicon: not folded


def test_phrases_found_under_a_policy_with_lists_mean_nothing_to_one_without(worker: ToyWorker) -> None:
    record = matched(work_record(worker.pack("friend")), WordHits(block=(7,)), "0" * 64)
    (found,) = outcomes(worker.scorer.score([record])).values()
    assert (found.verdict, found.words) == (Verdict.ALLOW, None)


def test_a_policy_that_changes_holds_from_the_next_records_on(worker: ToyWorker, timed: TimedBook, tmp_path: Path) -> None:
    record = work_record(worker.pack("hello"))
    (before,) = outcomes(worker.scorer.score([record])).values()
    write_policy(tmp_path, release="2")
    timed.now += 1
    (after,) = outcomes(worker.scorer.score([record])).values()
    assert [(one.verdict, one.policy.release) for one in (before, after)] == [(Verdict.BLOCK, "1"), (Verdict.ALLOW, "2")]


@pytest.mark.parametrize(("unscored", "verdict"), [("hold", "review"), ("allow", "allow"), ("block", "block")])
def test_a_text_that_could_not_be_scored_has_the_verdict_that_its_policy_gives_it(
    worker: ToyWorker, tmp_path: Path, unscored: str, verdict: str
) -> None:
    failing = nan_on_filler(worker)
    write_policy(tmp_path, unscored=unscored)
    failing.scorer._policies = failing.recorder._policies = TimedBook(tmp_path).book
    assert dead(failing.scorer.score([work_record(worker.pack("filler"))])).unscored_verdict == verdict


def test_where_the_tenant_is_not_known_a_text_without_scores_has_no_verdict(worker: ToyWorker) -> None:
    letter = dead(worker.scorer.score([work_record(pack_jobs(worker.bundle, [job("hello", tenant="gone")]))]))
    assert letter.unscored_verdict is None
    record = WorkRecord(Source(topic="llmos.work.toy", partition=3, offset=7), b"", MessageError(Code.WORK_CORRUPT, "damaged"))
    assert dead(worker.scorer.score([record])).unscored_verdict is None


def test_scores_are_counted_label_by_label_but_not_where_there_are_none(worker: ToyWorker) -> None:
    def counted(label: str) -> list[float]:
        place = {"model": "toy", "label": label}
        below = sample("llmos_score_bucket", le="0.5", **place)
        return [sample("llmos_score_count", **place), below, sample("llmos_score_sum", **place)]

    before = counted("insult"), counted("spam")
    nan_on_filler(worker).scorer.score([work_record(worker.pack("you idiot", "hello", "filler", "casino"))])
    after = counted("insult"), counted("spam")
    assert np.subtract(after, before).tolist() == [pytest.approx([3, 2, 0.982 + 2 * 0.018], abs=1e-3)] * 2


def test_the_time_that_work_waited_is_measured_job_by_job(worker: ToyWorker) -> None:
    def spent() -> list[float]:
        return [sample(f"llmos_stage_seconds_{end}", part=part) for part in ("queue", "infer") for end in ("count", "sum")]

    before = spent()
    worker.scorer.score([work_record(worker.pack("hello", "you")), work_record(worker.pack("idiot"))])
    assert np.subtract(spent(), before).tolist() == pytest.approx([3, 3 * 0.05, 3, 0], abs=1e-3), (
        "packed 50 ms ago, and the clock stands still"
    )
