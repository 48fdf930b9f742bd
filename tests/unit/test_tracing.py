"""Traces are off unless asked for, then bounded on every side; what is published names the trace that it belongs to."""

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kafka.errors import KafkaTimeoutError
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from pipeline import spans as spans_module
from pipeline.publish import JobPublisher
from pipeline.settings import Settings
from pipeline.tracing import ambient_tracing, incoming, start_tracing, trace_headers, traceparent_of
from schemas.errors import ConfigurationError, TransientError
from tests.support.fake_kafka import FakeKafka, FakeRecord
from tests.support.traces import Spans, header, id_of, ids_in, parent_of, trace_of, traceparent
from tests.support.work import job

JOBS = "llmos.jobs"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka(**{JOBS: 1})
    kafka.install(monkeypatch)
    return kafka


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def settings() -> Settings:
    return Settings(kafka_bootstrap="broker:9092", publish_bulk_jobs=2)


@pytest.fixture
def programs_own(monkeypatch: pytest.MonkeyPatch) -> Spans:
    """The spans of a program that has set up OpenTelemetry by itself."""
    spans = Spans()
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", spans.provider)
    return spans


def in_a_fresh_interpreter(program: str, **environment: str) -> str:
    """What `program` prints."""
    given = {"PATH": "", "LLMOS_CONFIG_FILE": "none.toml", **environment}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60, env=given
    )
    return done.stdout.strip()


def test_traces_are_off_unless_asked_for() -> None:
    assert start_tracing(Settings(), "worker") is None
    assert ambient_tracing(Settings()) is None


def test_where_they_are_off_opentelemetry_is_not_even_loaded() -> None:
    program = (
        "import sys, pipeline.publish, workers.traced, workers.loop, pipeline.preprocess.traced\n"
        "from pipeline.settings import Settings; from pipeline.tracing import start_tracing\n"
        "print(start_tracing(Settings(), 'worker'), 'pipeline.spans' in sys.modules, 'opentelemetry.sdk' in sys.modules)"
    )
    assert in_a_fresh_interpreter(program) == "None False False"


@pytest.mark.parametrize("start", [lambda settings: start_tracing(settings, "worker"), ambient_tracing])
def test_without_the_extra_a_sentence_says_how_to_install_it(start: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.spans")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'llmos\[otel\]'"):
        start(Settings(traces=True))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "llmos-worker"),
        ({"OTEL_SERVICE_NAME": "mine"}, "mine"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs,deployment.environment.name=test"}, "theirs"),
    ],
)
def test_a_process_is_called_after_its_stage_unless_the_environment_knows_better(environment: dict[str, str], name: str) -> None:
    program = (
        "from pipeline.settings import Settings; from pipeline.tracing import start_tracing\n"
        "tracing = start_tracing(Settings(traces=True, instance_id='worker-1'), 'worker')\n"
        "found = tracing._tracer.resource.attributes\n"
        "print(found['service.name'], found['service.instance.id'])"
    )
    assert in_a_fresh_interpreter(program, **environment) == f"{name} worker-1"


def test_a_collector_that_hangs_does_not_hold_a_process_that_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans_module, "CLOSE_S", 0.01)
    ever, begun = threading.Event(), threading.Event()

    class Hanging(TracerProvider):
        def shutdown(self) -> None:
            begun.set()
            ever.wait()

    spans_module._close(Hanging(shutdown_on_exit=False))
    assert begun.is_set()
    ever.set()


def test_what_a_process_has_not_sent_yet_goes_out_when_it_exits() -> None:
    spans = Spans()
    closed: list[bool] = []
    spans.provider.shutdown = lambda: closed.append(True)  # type: ignore[method-assign]
    spans_module._close(spans.provider)
    assert closed == [True]


def test_a_published_job_is_a_part_of_the_current_trace(kafka: FakeKafka, settings: Settings, spans: Spans) -> None:
    with JobPublisher(settings, tracing=spans.tracing) as publisher, spans.tracing.request("POST", traceparent(7)):
        publisher.publish(job("hello", "one"))
    sent, request = spans.one("publish llmos.jobs"), spans.one("POST")
    (record,) = kafka.records(JOBS)
    assert ids_in(record.headers) == (7, id_of(sent))
    assert (parent_of(sent), parent_of(request), sent.kind) == (id_of(request), 7, SpanKind.PRODUCER)
    assert sent.attributes == {
        "messaging.system": "kafka",
        "messaging.destination.name": JOBS,
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 1,
    }


def test_jobs_that_share_a_record_share_its_span(kafka: FakeKafka, settings: Settings, spans: Spans) -> None:
    with JobPublisher(settings, tracing=spans.tracing) as publisher:
        publisher.publish_many([job("hello", f"job-{number}") for number in range(5)])
    sent = spans.named("publish llmos.jobs")
    assert [(span.attributes or {})["messaging.batch.message_count"] for span in sent] == [2, 2, 1]
    assert [ids_in(record.headers) for record in kafka.records(JOBS)] == [(trace_of(span), id_of(span)) for span in sent]
    assert len(set(map(trace_of, sent))) == 3


def test_a_record_that_names_its_trace_keeps_it(kafka: FakeKafka, settings: Settings, spans: Spans) -> None:
    with JobPublisher(settings, tracing=spans.tracing) as publisher:
        publisher.publish_raw(b"{}", headers=header(9))
        publisher.publish_raw(b"{}", headers=[("h", b"1")])
    given, own = kafka.records(JOBS)
    assert given.headers == header(9)
    assert [name for name, _ in own.headers] == ["h", "traceparent"]
    assert len(list(spans)) == 1


def test_a_span_lasts_until_the_broker_has_confirmed(kafka: FakeKafka, settings: Settings, spans: Spans) -> None:
    kafka.holding = True
    with JobPublisher(settings, tracing=spans.tracing) as publisher:
        publisher.publish(job("hello", "one"))
        assert list(spans) == []
        kafka.release()
        assert spans.one("publish llmos.jobs").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("at_once", [True, False])
def test_a_delivery_that_failed_fails_its_span(kafka: FakeKafka, settings: Settings, spans: Spans, at_once: bool) -> None:  # noqa: FBT001
    def refuse(name: str) -> None:
        if name == "send":
            raise KafkaTimeoutError("hello")

    if at_once:
        kafka.step = refuse
    else:
        kafka.refused[JOBS] = KafkaTimeoutError("hello")
    with pytest.raises(TransientError), JobPublisher(settings, tracing=spans.tracing) as publisher:
        publisher.publish(job("hello", "one"))
    sent = spans.one("publish llmos.jobs")
    assert (sent.status.status_code, sent.status.description) == (StatusCode.ERROR, None)
    assert (sent.attributes or {})["error.type"] == "KafkaTimeoutError"
    assert "hello" not in spans.said()


def test_a_program_without_traces_publishes_as_ever(kafka: FakeKafka, settings: Settings, programs_own: Spans) -> None:
    with programs_own.tracing.request("POST", None), JobPublisher(settings) as publisher:
        publisher.publish(job("hello", "one"))
    assert kafka.records(JOBS)[0].headers == ()
    assert [span.name for span in programs_own] == ["POST"]


def test_a_programs_own_opentelemetry_gets_the_spans_of_its_publisher(
    kafka: FakeKafka, settings: Settings, programs_own: Spans
) -> None:
    traced = settings.model_copy(update={"traces": True})
    with trace.get_tracer("shop").start_as_current_span("checkout"), JobPublisher(traced) as publisher:
        publisher.publish(job("hello", "one"))
    sent, around = programs_own.one("publish llmos.jobs"), programs_own.one("checkout")
    assert parent_of(sent) == id_of(around)
    assert ids_in(kafka.records(JOBS)[0].headers) == (trace_of(around), id_of(sent))


def test_a_program_that_has_set_up_none_sends_no_spans_and_publishes(kafka: FakeKafka, settings: Settings) -> None:
    with JobPublisher(settings.model_copy(update={"traces": True})) as publisher:
        publisher.publish(job("hello", "one"))
    assert kafka.records(JOBS)[0].headers == ()


def test_a_log_line_notes_the_span_that_it_falls_into(spans: Spans) -> None:
    inside, outside = (logging.LogRecord("a", logging.INFO, __file__, 1, "b", (), None) for _ in range(2))
    with spans.tracing.request("POST", traceparent(7)) as request:
        assert spans_module.mark(inside)
    assert spans_module.mark(outside)
    assert vars(inside)["trace_id"] == f"{7:032x}"
    assert int(vars(inside)["span_id"], 16) == request.span.get_span_context().span_id
    assert "trace_id" not in vars(outside)


def test_headers_and_their_reading_fit_together() -> None:
    assert traceparent_of(trace_headers(traceparent(3))) == traceparent(3)
    assert trace_headers(None) == ()
    record = FakeRecord("t", 2, 9, None, None, header(4), 0)
    assert incoming(record).traceparent == traceparent(4)
    assert json.loads(json.dumps(incoming(record).attributes)) == {
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 9,
    }
