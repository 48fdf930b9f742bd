"""Records of results and dead letters: what they carry, and where they go."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline import metrics
from pipeline.settings import Settings
from schemas.codes import Code, Signal, Verdict
from schemas.dead_letters import DeadLetter
from schemas.errors import MessageError
from schemas.policies import WordHits
from schemas.results import InferenceResult, PolicyRef
from schemas.work import Source, WorkItem
from tests.support.work import NOW_MS, ToyWorker, job
from workers.results import Recorder, Scored

ERROR = MessageError(Code.INFERENCE_FAILED, "the model failed on this text alone")


@pytest.fixture
def recorder(toy_settings: Settings) -> Recorder:
    return ToyWorker(toy_settings.model_copy(update={"topic_prefix": "here"})).recorder


def item(text: str = "hello", reply_to: str | None = None) -> WorkItem:
    return WorkItem(
        job=job(text, "one", reply_to=reply_to, metadata={"shop": 7}, created_at="2026-11-24T08:00:00+08:00"),
        language="en",
        signals=(Signal.LEETSPEAK,),
        tokens_total=3,
        source=Source(topic="here.jobs", partition=1, offset=2),
        accepted_ms=NOW_MS,
        received_ms=NOW_MS,
    )


def scored(verdict: Verdict, reply_to: str | None = None) -> Scored:
    return Scored(
        item=item(reply_to=reply_to),
        verdict=verdict,
        labels=[{"label": "threat", "raw_score": 0.25, "score": 0.5, "over_threshold": True}],
        policy=PolicyRef(name="default", release="1", sha256="0" * 64),
        tokens_scored=3,
        windows=1,
        attempt=2,
        packed_ms=NOW_MS,
        started_ms=NOW_MS,
    )


def test_a_result_carries_what_it_takes_to_judge_it_again(recorder: Recorder) -> None:
    (out,) = recorder.results(scored(Verdict.ALLOW))
    result = InferenceResult.model_validate_json(out.value)
    assert (result.job_id, result.task, result.tenant, result.language) == ("one", "moderation", "default", "en")
    assert (result.model.name, result.model.precision, result.policy.release) == ("toy", "fp32", "1")
    assert (result.metadata, result.signals, result.attempt) == ({"shop": 7}, (Signal.LEETSPEAK,), 2)
    assert result.created_at.isoformat() == "2026-11-24T08:00:00+08:00"


WORDS = WordHits(block=(1, 7))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"words": WORDS},
        {"labels": [], "packed_ms": NOW_MS - 5, "started_ms": NOW_MS + 1},
    ],
    ids=["plain", "words", "other times"],
)
def test_a_result_is_written_as_its_schema_writes_it(recorder: Recorder, changes: dict[str, Any]) -> None:
    (out,) = recorder.results(replace(scored(Verdict.ALLOW), **changes))
    assert InferenceResult.model_validate_json(out.value).model_dump_json().encode() == out.value


@pytest.mark.parametrize(
    ("verdict", "reply_to", "topics"),
    [
        (Verdict.ALLOW, None, ["here.results"]),
        (Verdict.REVIEW, None, ["here.results", "here.flagged"]),
        (Verdict.BLOCK, "here.replies.a", ["here.results", "here.flagged", "here.replies.a"]),
    ],
)
def test_a_result_goes_to_every_topic_that_wants_it(
    recorder: Recorder, verdict: Verdict, reply_to: str | None, topics: list[str]
) -> None:
    outgoing = list(recorder.results(scored(verdict, reply_to)))
    assert [out.topic for out in outgoing] == topics
    assert {(out.key, out.value) for out in outgoing} == {(b"one", outgoing[0].value)}
    assert [out.optional for out in outgoing] == [topic.startswith("here.replies") for topic in topics]


def test_a_buried_job_can_be_published_again_as_it_is(recorder: Recorder) -> None:
    out, reply = recorder.bury(item(reply_to="here.replies.a"), ERROR, attempts=3)
    letter = DeadLetter.model_validate_json(out.value)
    assert (out.topic, out.key, reply.topic, reply.value) == ("here.dead-letters", b"one", "here.replies.a", out.value)
    assert (letter.code, letter.reason, letter.attempts) == (Code.INFERENCE_FAILED, ERROR.reason, 3)
    assert letter.original.key is not None
    assert letter.original.value is not None
    assert letter.original.key.to_bytes() == b"one"
    assert json.loads(letter.original.value.to_bytes())["text"] == "hello"


def test_a_buried_record_has_no_job_and_no_key(recorder: Recorder) -> None:
    source = Source(topic="here.work.toy", partition=0, offset=5)
    (out,) = recorder.bury_record(source, b"\x00\xff", MessageError(Code.WORK_CORRUPT, "not a work batch"))
    letter = DeadLetter.model_validate_json(out.value)
    assert (out.key, letter.job_id, letter.source) == (None, None, source)


def test_an_original_that_is_too_large_for_a_record_is_cut_and_says_so(toy_settings: Settings) -> None:
    recorder = ToyWorker(toy_settings.model_copy(update={"record_bytes_max": 10_000})).recorder
    source = Source(topic="here.work.toy", partition=0, offset=5)
    (out,) = recorder.bury_record(source, b"\xff" * 50_000, MessageError(Code.WORK_CORRUPT, "not a work batch"))
    original = DeadLetter.model_validate_json(out.value).original.value
    assert original is not None
    assert (original.complete, original.bytes_total, len(original.to_bytes())) == (False, 50_000, 7_000)
    assert len(out.value) < 2 * 10_000, "the dead-letter topic takes twice the largest record"


def test_results_and_dead_letters_are_counted(recorder: Recorder) -> None:
    done, failed = metrics.JOBS_DONE.labels("toy", "block", "default"), metrics.JOBS_DEAD.labels("worker", "inference_failed")
    before = done._value.get(), failed._value.get()
    list(recorder.results(scored(Verdict.BLOCK)))
    list(recorder.bury(item(), ERROR, 1))
    assert (done._value.get(), failed._value.get()) == (before[0] + 1, before[1] + 1)
