"""The stage: records in, work and dead letters out; whatever is wrong with one job touches no other."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.outgoing import Outgoing
from pipeline.preprocess.prepare import Rules
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.stage import Stage
from pipeline.replay_headers import ATTEMPTS
from pipeline.routing import Route, RoutingTable
from pipeline.settings import Settings
from schemas.codes import Code, Task
from schemas.dead_letters import DeadLetter
from schemas.errors import ConfigurationError, TransientError
from tests.support import malformed
from tests.support.exposition import sample
from tests.support.policies import TimedBook, write_policy
from tests.support.records import NOW_MS, dead_letters, job_record, toy_stage, work_batches, work_items
from tests.support.toy import NAME

WORKERS_OWN = {Code.WORK_CORRUPT, Code.TOKENIZER_MISMATCH, Code.INFERENCE_FAILED, Code.WORKER_CRASHED}
"""Codes that only a worker gives."""
HEADERS = (("h", b"1"), ("h", b"\xff"), ("trace", None), ("", b""))
RECORD_BYTES_MAX = Settings.model_fields["record_bytes_max"].default


@pytest.fixture
def rules(toy_settings: Settings) -> Rules:
    """As preprocess loads them."""
    return load_rules(toy_settings)


@pytest.fixture
def stage(toy_settings: Settings, rules: Rules) -> Stage:
    """The stage, its clock standing still."""
    return toy_stage(toy_settings, rules)


class Panic(BaseException):
    """As a panic of a Rust library comes to Python: no Exception."""


def breaking(rules: Rules, error: type[BaseException]) -> Rules:
    """Rules by which the word poison breaks something."""

    def detect(text: str) -> str:
        if "poison" in text:
            raise error("by the word poison")
        return rules.detect_language(text)

    return replace(rules, detect_language=detect)


def only_for(language: str, rules: Rules) -> Rules:
    """Rules that serve one language."""
    routes = RoutingTable(routes=(Route(task=Task.MODERATION, language=(language,), model=NAME),))
    return replace(rules, routes=routes)


@dataclass(frozen=True)
class Case:
    """A record that ends as one dead letter with `code`, under rules bent by `bend`."""

    name: str
    value: bytes | None
    code: Code
    bend: Callable[[Rules], Rules] = lambda rules: rules


CASES = (
    *(Case(name, value, code) for name, value, code in malformed.RECORDS),
    *(Case(name, json.dumps(job).encode(), code) for name, job, code in malformed.JOBS),
    Case("a record too large", b" " * (RECORD_BYTES_MAX + 1), Code.RECORD_TOO_LARGE),
    Case("no model for its language", b'{"text":"hello"}', Code.NO_ROUTE, lambda rules: only_for("zh", rules)),
    Case("an exception", b'{"text":"poison"}', Code.PREPROCESS_FAILED, lambda rules: breaking(rules, ZeroDivisionError)),
    Case("a panic", b'{"text":"poison"}', Code.PREPROCESS_FAILED, lambda rules: breaking(rules, Panic)),
)


def test_the_cases_show_every_code_that_preprocess_gives() -> None:
    assert {case.code for case in CASES} == set(Code) - WORKERS_OWN


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_cannot_go_on_is_buried_with_its_code_and_its_bytes(toy_settings: Settings, rules: Rules, case: Case) -> None:
    record = job_record(case.value, key=b"\xffkey", headers=HEADERS, partition=3, offset=11)
    output = toy_stage(toy_settings, case.bend(rules)).run([record])
    (letter,) = dead_letters(output)
    assert work_batches(output) == []
    assert (letter.code, letter.stage, letter.attempts) == (case.code, "preprocess", 1)
    assert letter.source.model_dump() == {"topic": "llmos.jobs", "partition": 3, "offset": 11, "index": None}
    assert letter.reason
    assert letter.versions["llmos"]
    assert kept(letter) == (b"\xffkey", HEADERS, case.value and case.value[: int(0.7 * RECORD_BYTES_MAX)])
    assert letter.original.value is None or letter.original.value.bytes_total == len(case.value or b"")


def kept(letter: DeadLetter) -> tuple[bytes | None, tuple[tuple[str, bytes | None], ...], bytes | None]:
    """Key, headers and value of the original."""
    original = letter.original
    headers = tuple((header.name, header.value and header.value.to_bytes()) for header in original.headers)
    return original.key and original.key.to_bytes(), headers, None if original.value is None else original.value.to_bytes()


@pytest.mark.parametrize(("name", "job", "code"), malformed.JOBS)
def test_a_bad_job_in_an_array_touches_none_of_its_neighbours(stage: Stage, name: str, job: dict[str, Any], code: Code) -> None:
    good = [{"job_id": "before", "text": "hello friend"}, {"job_id": "after", "text": "you idiot " * 50}]
    output = stage.run([job_record([good[0], {"job_id": "bad", **job}, good[1]], key=b"k", headers=HEADERS)])
    (letter,) = dead_letters(output)
    assert (letter.code, letter.job_id, letter.source.index) == (code, "bad", 1)
    key, headers, value = kept(letter)
    assert (key, headers) == (b"k", HEADERS)
    original = json.loads(value or b"")
    assert {name: original[name] for name in job} == job
    assert served(output) == {
        job_id: (text, index, tokens) for (job_id, text, _, tokens), index in zip(alone(stage, good), (0, 2), strict=True)
    }


def served(output: Iterable[Outgoing]) -> dict[str, tuple[str, int | None, list[int]]]:
    """Of every job that is worked on, by id: its text, its index, its tokens."""
    found = {}
    for batch in work_batches(output):
        windows = iter(np.split(batch.tokens, np.cumsum(batch.lengths)[:-1]))
        for item, count in zip(batch.description.items, batch.windows, strict=True):
            tokens = [token for _ in range(count) for token in next(windows).tolist()]
            found[item.job.job_id] = (item.job.text, item.source.index, tokens)
    return found


def alone(stage: Stage, jobs: list[dict[str, str]]) -> list[tuple[str, str, int | None, list[int]]]:
    """The same of each of `jobs` in a record of its own."""
    return [(job["job_id"], *served(stage.run([job_record(job)]))[job["job_id"]]) for job in jobs]


def test_a_bad_record_touches_none_of_the_records_beside_it(stage: Stage) -> None:
    bad = [job_record(value, offset=2 * place) for place, (_, value, _) in enumerate(malformed.RECORDS)]
    good = [job_record({"job_id": str(place), "text": "hello"}, offset=2 * place + 1) for place in range(len(bad))]
    output = stage.run([record for pair in zip(bad, good, strict=True) for record in pair])
    assert [letter.code for letter in dead_letters(output)] == [code for _, _, code in malformed.RECORDS]
    assert {item.job.job_id: item.source.offset for item in work_items(output)} == {
        str(place): 2 * place + 1 for place in range(len(bad))
    }


@pytest.mark.parametrize("error", [ValueError, RecursionError, Panic])
@pytest.mark.parametrize("bad", [{0}, {3, 4}, {0, 7}, set(range(8))])
def test_a_text_that_breaks_something_is_found_among_its_neighbours(
    toy_settings: Settings, rules: Rules, bad: set[int], error: type[BaseException]
) -> None:
    jobs = [{"job_id": str(number), "text": "poison" if number in bad else "hello"} for number in range(8)]
    output = toy_stage(toy_settings, breaking(rules, error)).run([job_record(jobs)])
    assert {letter.job_id: letter.code for letter in dead_letters(output)} == {
        str(number): Code.PREPROCESS_FAILED for number in bad
    }
    assert {item.job.job_id for item in work_items(output)} == {str(number) for number in range(8) if number not in bad}


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (MemoryError, TransientError),
        (OSError, TransientError),
        (ConfigurationError, ConfigurationError),
        (KeyboardInterrupt,) * 2,
    ],
)
def test_what_no_text_is_to_blame_for_stops_the_stage(
    toy_settings: Settings, rules: Rules, error: type[BaseException], raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        toy_stage(toy_settings, breaking(rules, error)).run([job_record([{"text": "poison"}, {"text": "hello"}])])


def test_a_record_that_comes_twice_gives_the_same_twice_but_for_times(toy_settings: Settings, rules: Rules) -> None:
    values = [[{"text": "hello"}, {"txt": 1}, {"text": "你好", "job_id": "a"}], {"text": "idiot"}, {"text": "\u200b"}, [5]]
    records = [job_record(value, offset=offset, key=b"k") for offset, value in enumerate(values)]
    first, second = (Stage(toy_settings, rules, lambda now=now: now).run(records) for now in (NOW_MS, NOW_MS + 12_345))
    assert [record.value for record in first] != [record.value for record in second]
    assert timeless(first) == timeless(second)


def timeless(output: Iterable[Outgoing]) -> list[object]:
    """The records, with the times of this run left out."""
    found: list[object] = []
    for record in output:
        if record.topic.endswith(".dead-letters"):
            found.append(
                (record.topic, record.key, *(letter.model_dump(exclude={"failed_at"}) for letter in dead_letters([record])))
            )
        for batch in work_batches([record]):
            items = [item.model_dump(exclude={"received_ms"}) for item in batch.description.items]
            found.append((record.topic, record.key, items, batch.tokens.tolist(), batch.lengths.tolist(), batch.windows.tolist()))
    return found


def test_a_dead_letter_is_keyed_by_its_job_where_it_has_one(stage: Stage) -> None:
    output = stage.run([job_record([{"job_id": "名", "txt": 1}, {"txt": 1}]), job_record(b"[")])
    assert [record.key for record in output] == ["名".encode(), None, None]


@pytest.mark.parametrize(
    ("job", "replies"),
    [
        ({"text": "\u200b", "reply_to": "llmos.replies.me"}, ["llmos.replies.me"]),
        ({"text": "\u200b", "reply_to": "llmos.jobs"}, []),
        ({"text": "\u200b", "reply_to": "llmos.replies"}, []),
        ({"text": "\u200b"}, []),
        ({"text": 5, "reply_to": "llmos.replies.me"}, []),  # what is no job asks for nothing
        ({"text": "hello", "reply_to": "llmos.replies.me"}, []),  # the worker's business
    ],
)
def test_a_dead_letter_is_copied_to_reply_topics_and_nowhere_else(stage: Stage, job: dict[str, Any], replies: list[str]) -> None:
    output = stage.run([job_record({"job_id": "a", **job})])
    copies = [record for record in output if record.topic != "llmos.dead-letters" and ".work." not in record.topic]
    assert [record.topic for record in copies] == replies
    letters = [record for record in output if record.topic == "llmos.dead-letters"]
    assert all(copy.optional and (copy.key, copy.value) == (letters[0].key, letters[0].value) for copy in copies)
    assert not any(record.optional for record in letters)


def endless_headers(count: int) -> tuple[tuple[str, bytes | None], ...]:
    """Very many, each small."""
    return tuple(("", b"x") for _ in range(count))


@pytest.mark.parametrize(
    ("value", "key", "headers"),
    [
        pytest.param(b"\xff" * RECORD_BYTES_MAX, None, (), id="no UTF-8"),
        pytest.param(b"\x01" * RECORD_BYTES_MAX, None, (), id="all escapes"),
        pytest.param(b'"' * RECORD_BYTES_MAX, None, (), id="all quotes"),
        pytest.param(b"[" * RECORD_BYTES_MAX, b"\xff" * RECORD_BYTES_MAX, (), id="and a key as large"),
        pytest.param(b"[" * RECORD_BYTES_MAX, None, endless_headers(500_000), id="and very many headers"),
        pytest.param(b"[" * RECORD_BYTES_MAX, None, (("\x01" * RECORD_BYTES_MAX, b""),), id="and an endless name"),
    ],
)
def test_the_dead_letter_of_the_largest_record_fits_its_topic(
    stage: Stage, value: bytes, key: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    (record,) = stage.run([job_record(value, key=key, headers=headers)])
    assert len(record.value) <= 2 * RECORD_BYTES_MAX


def test_an_array_of_bad_jobs_with_a_large_key_does_not_multiply_it(stage: Stage) -> None:
    output = stage.run([job_record([5] * 500, key=b"\xff" * (4 << 20), headers=(("h", b"x" * (4 << 20)),))])
    assert len(output) == 500
    assert sum(len(record.value) for record in output) < 10 * RECORD_BYTES_MAX


jobs = st.fixed_dictionaries(
    {"text": st.text(st.characters(exclude_categories=()), max_size=20) | st.sampled_from(["hello", "poison", "\u200b"])},
    optional={
        "job_id": st.text(max_size=3),
        "tenant": st.sampled_from(["default", "nobody"]),
        "language": st.sampled_from(["en", "zh-CN", "no language"]),
        "reply_to": st.sampled_from(["llmos.replies.a", "elsewhere"]),
        "deadline": st.sampled_from(["2020-01-01T00:00:00Z", "2200-01-01T00:00:00Z", 5]),
        "x": st.none(),
    },
)


def test_every_job_of_every_record_has_exactly_one_outcome(toy_settings: Settings, rules: Rules) -> None:
    bent = breaking(rules, Panic)

    @settings(deadline=None)
    @given(st.lists(jobs | st.lists(jobs, min_size=1, max_size=4), max_size=5))
    def check(values: list[Any]) -> None:
        output = toy_stage(toy_settings, bent).run([job_record(value, offset=at) for at, value in enumerate(values)])
        places = [item.source for item in work_items(output)] + [letter.source for letter in dead_letters(output)]
        wanted = [
            (at, index) for at, value in enumerate(values) for index in (range(len(value)) if isinstance(value, list) else [None])
        ]
        assert sorted(map(str, wanted)) == sorted(str((place.offset, place.index)) for place in places)

    check()


def test_nothing_comes_of_no_records(stage: Stage) -> None:
    assert stage.run([]) == []


@pytest.fixture
def timed(tmp_path: Path) -> TimedBook:
    """Policies of two tenants: one blocks what is not scored."""
    write_policy(tmp_path)
    write_policy(tmp_path, "strict", unscored="block", words='block = ["hello"]')
    return TimedBook(tmp_path)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        ({"text": "\u200b"}, "review"),
        ({"text": "\u200b", "tenant": "strict"}, "block"),
        ({"text": 5, "tenant": "strict"}, "block"),
        ([{"txt": "no job", "tenant": "strict"}], "block"),
        ({"txt": "no job"}, "review"),
        ({"text": "hello", "tenant": "nobody"}, None),
        ({"text": "hello", "tenant": 5}, None),
        ({"text": "hello", "tenant": ["strict"]}, None),
        ([5], None),
        (b"no JSON", None),
        (None, None),
    ],
)
def test_a_dead_letter_tells_what_its_tenant_makes_of_it(
    toy_settings: Settings, rules: Rules, timed: TimedBook, value: object, verdict: str | None
) -> None:
    stage = toy_stage(toy_settings, replace(rules, policies=timed.book))
    (letter,) = dead_letters(stage.run([job_record(value)]))
    assert letter.unscored_verdict == verdict


def test_a_policy_that_changes_holds_from_the_next_records_on(
    toy_settings: Settings, rules: Rules, timed: TimedBook, tmp_path: Path
) -> None:
    stage = toy_stage(toy_settings, replace(rules, policies=timed.book))
    record = job_record({"text": "hello", "tenant": "strict"})
    (before,) = work_items(stage.run([record]))
    write_policy(tmp_path, "strict", release="2", words='review = ["hello"]')
    timed.now += 1
    (after,) = work_items(stage.run([record]))
    (tmp_path / "strict.toml").unlink()
    timed.now += 1
    (gone,) = dead_letters(stage.run([record]))
    assert before.words is not None
    assert after.words is not None
    assert (before.words.block, after.words.review, gone.code) == ((1,), (1,), Code.UNKNOWN_TENANT)


def test_jobs_are_counted_by_tenant_and_those_that_were_replayed_apart(stage: Stage) -> None:
    counted = "llmos_jobs_received_total", {"task": "moderation", "tenant": "default"}
    before = sample(counted[0], **counted[1]), sample("llmos_jobs_replayed_total")
    stage.run([job_record({"text": "hello"}), job_record([{"text": "hello"}] * 3), job_record({"text": ""})])
    stage.run([job_record({"text": "hello"}, headers=((ATTEMPTS, b"1"),))])
    assert (sample(counted[0], **counted[1]), sample("llmos_jobs_replayed_total")) == (before[0] + 5, before[1] + 1)


def test_the_time_that_jobs_waited_is_measured_job_by_job(stage: Stage) -> None:
    def spent() -> list[float]:
        return [sample(f"llmos_stage_seconds_{end}", part=part) for part in ("wait", "preprocess") for end in ("count", "sum")]

    before = spent()
    stage.run([job_record([{"text": "hello"}] * 3), job_record({"text": "hello"}, timestamp_ms=NOW_MS - 4_000)])
    assert np.subtract(spent(), before).tolist() == pytest.approx([4, 3 * 0.25 + 4, 4, 0]), "the stage's clock stands still"
