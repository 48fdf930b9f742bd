"""Traces through the stages: a job's spans are of the trace that its record names, and nothing is told of its text."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from pipeline import spans as spans_module
from pipeline.outgoing import Outgoing
from pipeline.preprocess.decode import JobRecord
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.traced import traced as traced_preprocess
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.errors import MessageError
from tests.support.fake_kafka import FakeRecord
from tests.support.records import job_record, toy_stage, work_items
from tests.support.traces import Headers, Spans, header, id_of, ids_in, parent_of, trace_of, traceparent
from tests.support.work import ToyWorker
from workers.loop import decode_record
from workers.score import WorkRecord
from workers.traced import traced as traced_worker

PREPROCESS, BATCH = "process llmos.jobs", "process_batch llmos.jobs"
MARKER = "xylophone"


@pytest.fixture
def spans() -> Spans:
    return Spans()


def asked(name: str, headers: Headers = (), text: str = "you idiot", **fields: object) -> JobRecord:
    """The record of one job."""
    return job_record({"job_id": name, "text": text, **fields}, headers=headers)


def preprocess(settings: Settings, spans: Spans | None, *records: JobRecord) -> list[Outgoing]:
    """What a preprocess app makes of the records; one without traces where there are no spans."""
    return traced_preprocess(toy_stage(settings).run, settings, spans.tracing if spans else None)(records)


def taken_up(output: Sequence[Outgoing], topic: str) -> list[WorkRecord]:
    """The records of the work topic as a worker decodes them."""
    work = [out for out in output if out.topic == topic]
    return [decode_record(FakeRecord(topic, 0, number, None, out.value, (), 0)) for number, out in enumerate(work)]


def score(settings: Settings, spans: Spans | None, output: Sequence[Outgoing]) -> list[Outgoing]:
    """What a worker makes of them."""
    worker = ToyWorker(settings)
    run = traced_worker(worker.scorer.score, settings, spans.tracing if spans else None)
    return run(taken_up(output, worker.topic))


def broken(*_: object) -> Any:
    raise RuntimeError(MARKER)


def headers_of(output: Sequence[Outgoing]) -> dict[str, Headers]:
    """By topic and key."""
    return {f"{out.topic} {(out.key or b'-').decode()}": out.headers for out in output}


def test_a_job_stays_in_its_trace_until_its_result(toy_settings: Settings, spans: Spans) -> None:
    settings = toy_settings
    work = preprocess(settings, spans, asked("a", header(7), reply_to="llmos.replies.shop"))
    results = score(settings, spans, work)
    first = spans.one(PREPROCESS)
    second = spans.one(f"process {ToyWorker(settings).topic}")
    assert [trace_of(span) for span in spans] == [7, 7]
    assert (parent_of(first), parent_of(second)) == (7, id_of(first))
    assert {out.topic for out in results} == {"llmos.results", "llmos.flagged", "llmos.replies.shop"}
    assert {ids_in(out.headers) for out in results} == {(7, id_of(second))}


def test_spans_are_named_and_described_as_opentelemetry_wants_it(toy_settings: Settings, spans: Spans) -> None:
    score(toy_settings, spans, preprocess(toy_settings, spans, asked("a", header(7))))
    first, second = spans
    assert {first.kind, second.kind} == {SpanKind.CONSUMER}
    assert first.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": "llmos.jobs",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "llmos-preprocess",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 7,
    }
    assert second.attributes is not None
    assert second.attributes["messaging.consumer.group.name"] == "llmos-worker-toy"
    assert second.attributes["llmos.job_id"] == "a"


def test_jobs_of_a_batch_stay_in_their_traces_and_its_span_links_to_all(toy_settings: Settings, spans: Spans) -> None:
    records = [asked("a", header(7)), asked("b", header(8)), asked("c")]
    results = score(toy_settings, spans, preprocess(toy_settings, spans, *records))
    for topic in ("llmos.jobs", ToyWorker(toy_settings).topic):
        whole, parts = spans.one(f"process_batch {topic}"), spans.named(f"process {topic}")
        assert sorted(map(trace_of, parts)) == [7, 8]
        assert parent_of(whole) is None
        assert [link.context.trace_id for link in whole.links] == [7, 8]
        assert {link.context.span_id for part in parts for link in part.links} == {id_of(whole)}
        assert whole.attributes is not None
        assert whole.attributes["messaging.batch.message_count"] == 3
    found = headers_of(results)
    assert [ids_in(found[f"llmos.results {name}"])[0] for name in "ab"] == [7, 8]
    assert found["llmos.results c"] == ()


def test_jobs_of_an_array_share_the_trace_of_their_record(toy_settings: Settings, spans: Spans) -> None:
    record = job_record([{"job_id": name, "text": "hello"} for name in "ab"], headers=header(7))
    results = score(toy_settings, spans, preprocess(toy_settings, spans, record))
    work = spans.named(f"process {ToyWorker(toy_settings).topic}")
    assert [parent_of(span) for span in work] == [id_of(spans.one(PREPROCESS))] * 2
    assert {ids_in(out.headers)[0] for out in results} == {7}


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"00",
        b"00-" + b"0" * 32 + b"-0000000000000001-01",
        b"00-00000000000000000000000000000001-" + b"0" * 16 + b"-01",
        b"ff-00000000000000000000000000000001-0000000000000001-01",
        b"00-0000000000000000000000000000000G-0000000000000001-01",
        b"00-00000000000000000000000000000001-0000000000000001-01-extra",
        b"\xff\xfe",
        "00-é".encode(),
        b"00-00000000000000000000000000000001-0000000000000001-01" * 1_000,
        b"00-00000000000000000000000000000001-0000000000000001-00",  # well-formed: its sender does not record it
    ],
)
def test_what_names_no_sampled_trace_is_passed_over(toy_settings: Settings, spans: Spans, value: bytes) -> None:
    record = asked("a", (("traceparent", value),))
    results = score(toy_settings, spans, preprocess(toy_settings, spans, record))
    assert list(spans) == []
    assert [out.headers for out in results] == [(), ()]


def test_a_header_without_a_value_is_passed_over(toy_settings: Settings, spans: Spans) -> None:
    work = preprocess(toy_settings, spans, job_record({"text": "hello"}, headers=(("traceparent", None),)))
    assert (list(spans), work[0].headers) == ([], ())


def test_of_several_headers_the_last_one_counts(toy_settings: Settings, spans: Spans) -> None:
    preprocess(toy_settings, spans, asked("a", header(7) + header(8)))
    assert trace_of(spans.one(PREPROCESS)) == 8


def test_where_traces_are_off_not_a_byte_is_added(toy_settings: Settings) -> None:
    plain, traced = asked("a"), asked("a", header(7))
    bad, traced_bad = asked("b", text=""), asked("b", header(7), text="")
    work = preprocess(toy_settings, None, plain)
    assert preprocess(toy_settings, None, traced) == work
    assert b"traceparent" not in work[0].value
    assert score(toy_settings, None, work) == [replace(out, headers=()) for out in score(toy_settings, Spans(), work)]
    (letter,), (traced_letter,) = preprocess(toy_settings, None, bad), preprocess(toy_settings, None, traced_bad)
    assert letter.headers == traced_letter.headers == ()


def test_with_traces_off_there_is_nothing_in_between(toy_settings: Settings) -> None:
    run = toy_stage(toy_settings).run
    assert traced_preprocess(run, toy_settings, None) == run
    worker = ToyWorker(toy_settings)
    assert traced_worker(worker.scorer.score, toy_settings, None) == worker.scorer.score


def test_a_job_without_a_trace_costs_no_byte_where_traces_are_on(toy_settings: Settings, spans: Spans) -> None:
    assert preprocess(toy_settings, spans, asked("a")) == preprocess(toy_settings, None, asked("a"))


def test_a_worker_without_traces_passes_them_on(toy_settings: Settings, spans: Spans) -> None:
    results = score(toy_settings, None, preprocess(toy_settings, spans, asked("a", header(7))))
    assert {ids_in(out.headers) for out in results} == {(7, id_of(spans.one(PREPROCESS)))}


def test_a_sampler_that_keeps_nothing_ends_the_trace(toy_settings: Settings) -> None:
    spans = Spans(ALWAYS_OFF)
    work = preprocess(toy_settings, spans, asked("a", header(7)))
    assert (list(spans), work_items(work)[0].traceparent) == ([], None)


def test_a_dead_letter_of_preprocess_keeps_the_trace_and_its_span_has_failed(toy_settings: Settings, spans: Spans) -> None:
    records = [asked("a", header(7), reply_to="llmos.replies.shop", tenant="nobody"), asked("b", header(8))]
    output = preprocess(toy_settings, spans, *records)
    failed, fine = sorted(spans.named(PREPROCESS), key=trace_of)
    letters = [out for out in output if out.key == b"a"]
    assert [out.topic for out in letters] == ["llmos.dead-letters", "llmos.replies.shop"]
    assert {ids_in(out.headers) for out in letters} == {(7, id_of(failed))}
    assert (failed.status.status_code, fine.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert failed.attributes is not None
    assert failed.attributes["error.type"] == "dead_letter"


def test_a_dead_letter_holds_the_headers_that_its_record_had(toy_settings: Settings, spans: Spans) -> None:
    output = preprocess(toy_settings, spans, asked("a", header(7), text=""))
    original = json.loads(output[0].value)["original"]["headers"]
    assert [one["value"]["data"] for one in original] == [traceparent(7)]


def test_a_dead_letter_of_a_worker_keeps_the_trace(toy_settings: Settings, spans: Spans) -> None:
    worker = ToyWorker(toy_settings)
    worker.inference._run = broken
    work = preprocess(toy_settings, spans, asked("a", header(7)))
    output = traced_worker(worker.scorer.score, toy_settings, spans.tracing)(taken_up(work, worker.topic))
    failed = spans.one(f"process {worker.topic}")
    assert [(out.topic, ids_in(out.headers)) for out in output] == [("llmos.dead-letters", (7, id_of(failed)))]
    assert failed.status.status_code is StatusCode.ERROR


def test_a_record_that_cannot_be_taken_apart_is_in_no_trace_and_disturbs_none(toy_settings: Settings, spans: Spans) -> None:
    worker = ToyWorker(toy_settings)
    work = taken_up(preprocess(toy_settings, spans, asked("a", header(7))), worker.topic)
    broken = WorkRecord(work[0].source, b"LLMW", MessageError(Code.WORK_CORRUPT, "damaged"))
    output = traced_worker(worker.scorer.score, toy_settings, spans.tracing)([broken, *work])
    found = headers_of(output)
    assert found["llmos.dead-letters -"] == ()
    assert ids_in(found["llmos.results a"])[0] == 7


def test_what_a_stage_raises_fails_its_spans_and_comes_out(toy_settings: Settings, spans: Spans) -> None:
    with pytest.raises(RuntimeError, match=MARKER):
        traced_preprocess(broken, toy_settings, spans.tracing)([asked("a", header(7)), asked("b", header(8))])
    assert {span.status.status_code for span in spans} == {StatusCode.ERROR}
    assert {(span.attributes or {})["error.type"] for span in spans} == {"RuntimeError"}
    assert MARKER not in spans.said()


def test_spans_and_links_of_a_batch_are_bounded(toy_settings: Settings, spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "SPANS_MAX", 2)
    monkeypatch.setattr(spans_module, "LINKS_MAX", 3)
    work = preprocess(toy_settings, spans, *(asked(f"job-{number}", header(number)) for number in range(1, 6)))
    assert sorted(map(trace_of, spans.named(PREPROCESS))) == [1, 2]
    assert len(spans.one(BATCH).links) == 3
    kept = {item.job.job_id: item.traceparent for item in work_items(work)}
    assert [kept[f"job-{number}"] for number in (3, 4, 5)] == [traceparent(number) for number in (3, 4, 5)]


def test_no_span_tells_of_a_text(toy_settings: Settings, spans: Spans) -> None:
    rules = load_rules(toy_settings)

    def breaking(text: str) -> str:
        if "break" in text:
            raise ValueError(text)
        return rules.detect_language(text)

    stage = toy_stage(toy_settings, replace(rules, detect_language=breaking))
    texts = [f"{MARKER} idiot", f"{MARKER} break", f"{MARKER} " * 90]
    records = [asked(f"job-{number}", header(number + 1), text) for number, text in enumerate(texts)]
    records += [
        job_record(f'{{"text": "{MARKER}", "{MARKER}": 1}}'.encode(), headers=header(50)),
        job_record(f'{{"text": "{MARKER}'.encode(), headers=header(51), key=MARKER.encode()),
        job_record([{"text": MARKER, "metadata": {MARKER: MARKER}}, MARKER], headers=header(52)),
    ]
    work = traced_preprocess(stage.run, toy_settings, spans.tracing)(records)
    score(toy_settings, spans, work)
    assert len(spans.named(PREPROCESS)) == 6
    assert spans.named(f"process {ToyWorker(toy_settings).topic}")
    assert MARKER not in spans.said()
    assert "job-0" in spans.said()
