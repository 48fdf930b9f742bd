"""Messages of version 1 as they once were written: they stay readable, and are written back as they were.

Fields that came later are left out of what is compared, so that a golden file never has to be edited.
"""

import hashlib
import json

import numpy as np
import pytest
from pydantic import TypeAdapter

from pipeline.preprocess.decode import Accepted, JobRecord, decode
from schemas.base import Message
from schemas.codes import Code, Signal, Task, Verdict
from schemas.dead_letters import DeadLetter
from schemas.jobs import TextJob, parse_job
from schemas.policies import Policy, WordFile, WordHits
from schemas.results import InferenceResult
from schemas.work import WorkDescription, pack, unpack
from tests.contract.samples import BULK, GOLDEN, MESSAGES, WORDS, WORK, golden


def test_no_golden_file_was_edited_added_or_lost_without_a_word() -> None:
    lines = (GOLDEN / "SHA256SUMS").read_text("utf-8").splitlines()
    promised = dict(reversed(line.split("  ")) for line in lines)
    found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in GOLDEN.iterdir() if file.name != "SHA256SUMS"}
    assert found == promised
    assert set(found) == {*MESSAGES, BULK, *WORK, WORDS}


@pytest.mark.parametrize(("name", "model"), [(name, model) for name, (model, _) in MESSAGES.items()])
def test_a_message_is_read_and_written_back_byte_by_byte(name: str, model: type[Message]) -> None:
    message = model.model_validate_json(golden(name))
    assert message.model_dump_json(exclude_unset=True).encode() == golden(name)


@pytest.mark.parametrize(("name", "model"), [(name, model) for name, (model, _) in MESSAGES.items()])
def test_what_is_written_whole_reads_as_the_same_message(name: str, model: type[Message]) -> None:
    message = model.model_validate_json(golden(name))
    assert model.model_validate_json(message.model_dump_json()) == message


def test_the_bulk_form_is_read_and_written_back() -> None:
    adapter = TypeAdapter(list[TextJob])
    assert adapter.dump_json(adapter.validate_json(golden(BULK)), exclude_unset=True) == golden(BULK)


def test_the_decoder_takes_single_and_bulk_records() -> None:
    for name, jobs in (("text-job.json", 1), ("text-job-minimal.json", 1), (BULK, 3)):
        record = JobRecord("llmos.jobs", 0, 1, 1_795_507_200_000, None, (), golden(name))
        outcomes = list(decode(record, 1 << 20))
        assert [type(outcome) for outcome in outcomes] == [Accepted] * jobs, name


def test_a_minimal_job_has_these_defaults() -> None:
    job = parse_job(json.loads(golden("text-job-minimal.json")))
    assert (job.version, job.text, job.task, job.tenant) == (1, "hello", "moderation", "default")
    assert (job.language, job.reply_to, job.deadline, job.metadata) == (None, None, None, {})


def test_a_job_means_what_it_meant() -> None:
    job = parse_job(json.loads(golden("text-job.json")))
    assert job.text == 'You id\u200bi0t 😀 你好\n"quoted" \\ \0'
    assert job.metadata["big"] == 12345678901234567890123
    assert job.created_at.isoformat() == "2026-11-24T08:00:00.250000+00:00"


def test_word_hits_and_the_verdict_on_an_unscored_text_mean_what_they_meant() -> None:
    words = InferenceResult.model_validate_json(golden("inference-result-words.json")).words
    assert words == WordHits(block=(3, 17), review=(2,), allow=(5,), nothing_else=True)
    assert DeadLetter.model_validate_json(golden("dead-letter-unscored.json")).unscored_verdict is Verdict.REVIEW
    policy = Policy.model_validate_json(golden("policy-words.json"))
    assert (policy.unscored_verdict, policy.words.block) == (Verdict.BLOCK, ("buy followers", "卖号"))
    assert policy.words.review == WordFile(file="acme.review.txt")
    found, none = unpack(golden("work-batch-words.bin")).description.items
    assert (found.words, none.words) == (WordHits(review=(4,)), None)
    assert found.words_policy == none.words_policy == "f" * 64


def test_a_job_keeps_its_place_in_a_trace_and_one_without_has_none() -> None:
    traced, untraced = unpack(golden("work-batch-traced.bin")).description.items
    assert (traced.traceparent, untraced.traceparent) == ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None)
    assert golden("work-batch-traced.bin").count(b"traceparent") == 1


@pytest.mark.parametrize("name", ["inference-result.json", "dead-letter-of-job.json"])
def test_what_a_message_does_not_hold_is_not_written(name: str) -> None:
    model, _ = MESSAGES[name]
    written = json.loads(model.model_validate_json(golden(name)).model_dump_json())
    assert written.keys().isdisjoint({"words", "unscored_verdict"})


def test_a_dead_letter_gives_its_bytes_back() -> None:
    letter = DeadLetter.model_validate_json(golden("dead-letter-of-record.json"))
    assert letter.original.value is not None
    assert letter.original.value.to_bytes() == b"LLMW\x01\x02\x00\x00\xff\xfe" * 2
    assert (letter.original.value.complete, letter.original.value.bytes_total) == (False, 30)
    letter = DeadLetter.model_validate_json(golden("dead-letter-of-job.json"))
    headers = [(header.name, header.value and header.value.to_bytes()) for header in letter.original.headers]
    assert headers == [("trace", b"a1"), ("trace", None), ("raw", b"\xff\x00")]


def test_a_work_batch_is_read_as_it_was() -> None:
    batch = unpack(golden("work-batch.bin"))
    assert batch.tokenizer_sha256 == hashlib.sha256(b"tokenizer").hexdigest()
    assert (batch.windows.tolist(), batch.lengths.tolist()) == ([2, 1], [4, 5, 3])
    assert batch.tokens.tolist() == [0, 69_999, 7, 2, 0, 7, 8, 9, 2, 0, 65_536, 2]
    assert [item.job.job_id for item in batch.description.items] == ["01938c5e-9c00-7a6b-8f21-5d3f0c9b1e42", "b"]


def test_a_work_batch_of_a_small_vocabulary_has_two_bytes_a_token() -> None:
    batch = unpack(golden("work-batch-small-vocabulary.bin"))
    assert (batch.tokens.tolist(), batch.tokens.itemsize) == ([0, 65_535, 2], 2)


@pytest.mark.parametrize("name", WORK)
def test_a_work_batch_is_written_back_byte_by_byte(name: str) -> None:
    record = golden(name)
    batch = unpack(record)
    text = batch.description.model_dump_json(exclude_unset=True).encode()
    assert record.endswith(text)
    rows = iter(np.split(batch.tokens, np.cumsum(batch.lengths)[:-1]))
    windows = [[next(rows) for _ in range(count)] for count in batch.windows]
    again = pack(batch.tokenizer_sha256, WorkDescription.model_validate_json(text), windows)
    front = 60 + batch.lengths.nbytes + batch.windows.nbytes + batch.tokens.nbytes
    assert again[:20] == record[:20]
    assert again[24:56] == record[24:56]
    assert again[60:front] == record[60:front]
    assert unpack(again).description == batch.description


def test_no_word_of_version_1_is_gone() -> None:
    words = json.loads(golden(WORDS))
    assert words["task"]
    assert {*Task} >= set(words["task"])
    assert [*Verdict] == words["verdict"]
    assert {*Signal} >= set(words["signal"])
    assert {*Code} >= set(words["code"])
