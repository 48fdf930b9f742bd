"""Traces through the gateway: one from a request to its reply, and none tells what stands in a query string or a body."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from pipeline.gateway.desk import KafkaDesk
from pipeline.outgoing import Outgoing
from pipeline.preprocess.traced import traced as traced_preprocess
from pipeline.settings import Settings
from tests.support.desk import FakeDesk
from tests.support.fake_kafka import FakeKafka, FakeRecord
from tests.support.front import make_gateway, sinks_of
from tests.support.gateway import JOBS, REPLIES, RESULTS, GatewayWorld, make_gateway_world, story
from tests.support.records import job_record, toy_stage
from tests.support.traces import Spans, id_of, ids_in, parent_of, trace_of, traceparent
from tests.support.work import ToyWorker
from workers.delivery import Deliverer
from workers.loop import decode_record
from workers.traced import traced as traced_worker

MARKER = "xylophone"


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> GatewayWorld:
    return make_gateway_world(monkeypatch, tmp_path)


@asynccontextmanager
async def running(world: GatewayWorld, spans: Spans) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway with its traces, and a client."""
    desk = KafkaDesk(world.settings, world.folder, world.ended.append, spans.tracing)
    app = make_gateway(world.folder, desk, spans.tracing).app
    await desk.start(sinks_of(app))
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway", timeout=20) as client,
        ):
            yield client
    finally:
        await desk.stop()


class Stages:
    """Both stages, each over what lies on its topic."""

    def __init__(self, kafka: FakeKafka, settings: Settings, spans: Spans) -> None:
        worker = ToyWorker(settings)
        self._kafka, self._topic = kafka, worker.topic
        self._preprocess = traced_preprocess(toy_stage(settings).run, settings, spans.tracing)
        self._worker = traced_worker(worker.scorer.score, settings, spans.tracing)
        self._deliverer = Deliverer(settings.model_copy(update={"kafka_bootstrap": "broker:9092"}))
        kafka.topics |= {worker.topic: [[]], "llmos.flagged": [[]]}

    def run(self) -> None:
        """Everything that was published, to its outcome."""
        self._deliver(self._preprocess([_job_record(record) for record in self._kafka.records(JOBS)]))
        self._deliver(self._worker([decode_record(record) for record in self._kafka.records(self._topic)]))

    def _deliver(self, output: Sequence[Outgoing]) -> None:
        self._deliverer.deliver(output)


def _job_record(record: FakeRecord) -> object:
    return job_record(record.value, headers=record.headers, key=record.key, partition=record.partition, offset=record.offset)


@story
async def test_one_trace_goes_from_the_request_to_its_reply(world: GatewayWorld, toy_settings: Settings, spans: Spans) -> None:
    stages = Stages(world.kafka, toy_settings, spans)
    async with running(world, spans) as client:
        headers = {"traceparent": traceparent(7)}
        asked = asyncio.create_task(client.post("/v1/jobs?wait=20", json={"text": "you idiot"}, headers=headers))
        await world.published(1)
        stages.run()
        assert (await asked).json()["status"] == "done"
    names = ["POST /v1/jobs", f"publish {JOBS}", f"process {JOBS}", f"process {stages._topic}", f"process {REPLIES}"]
    path = [spans.one(name) for name in names]
    assert {span.name for span in spans} == set(names)
    assert {trace_of(span) for span in spans} == {7}
    assert [parent_of(span) for span in path] == [7, *(id_of(span) for span in path[:-1])]
    kinds = [SpanKind.SERVER, SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CONSUMER, SpanKind.CONSUMER]
    assert [span.kind for span in path] == kinds
    for topic in (RESULTS, REPLIES, "llmos.flagged"):
        assert [ids_in(record.headers) for record in world.kafka.records(topic)] == [(7, id_of(path[3]))], topic


@story
async def test_texts_of_several_requests_meet_in_a_batch_and_each_keeps_its_trace(
    world: GatewayWorld, toy_settings: Settings, spans: Spans
) -> None:
    stages = Stages(world.kafka, toy_settings, spans)
    async with running(world, spans) as client:
        asked = [
            asyncio.create_task(
                client.post("/v1/jobs?wait=20", json={"text": f"{MARKER} idiot"}, headers={"traceparent": traceparent(number)})
            )
            for number in (7, 8)
        ]
        await world.published(2)
        stages.run()
        await asyncio.gather(*asked)
    whole = spans.one(f"process_batch {stages._topic}")
    assert sorted(link.context.trace_id for link in whole.links) == [7, 8]
    for number in (7, 8):
        names = sorted(span.name for span in spans if trace_of(span) == number)
        assert len(names) == 5, names
    assert MARKER not in spans.said()


@story
async def test_a_batch_over_http_is_published_within_the_trace_of_its_request(world: GatewayWorld, spans: Spans) -> None:
    async with running(world, spans) as client:
        await client.post("/v1/jobs", json={"jobs": [{"text": "a"}, {"text": "b"}]}, headers={"traceparent": traceparent(7)})
        await world.published(2)
    sent = spans.one(f"publish {JOBS}")
    assert (trace_of(sent), parent_of(sent)) == (7, id_of(spans.one("POST /v1/jobs")))


@pytest.mark.parametrize("given", [None, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_request_that_names_no_trace_begins_one(tmp_path: Path, spans: Spans, given: str | None) -> None:
    gateway = make_gateway(tmp_path, tracing=spans.tracing)
    with gateway.client() as client:
        client.post("/v1/moderations", json={"input": "hello"}, headers={} if given is None else {"traceparent": given})
    request = spans.one("POST /v1/moderations")
    assert parent_of(request) is None
    assert trace_of(request) != 0


def test_a_request_whose_sender_does_not_record_it_leaves_no_span(tmp_path: Path, spans: Spans) -> None:
    with make_gateway(tmp_path, tracing=spans.tracing).client() as client:
        client.post("/v1/moderations", json={"input": "hello"}, headers={"traceparent": traceparent(7, sampled=False)})
    assert list(spans) == []


def test_a_span_tells_the_route_and_the_status_and_which_log_line_is_its_own(tmp_path: Path, spans: Spans) -> None:
    with make_gateway(tmp_path, tracing=spans.tracing).client() as client:
        client.get("/v1/jobs/unknown", headers={"x-request-id": "mine"})
        client.get(f"/{MARKER}")
        client.request(MARKER.upper(), "/v1/moderations")
        client.get("/livez")
    found, unmatched, odd = spans
    assert found.attributes == {
        "http.request.method": "GET",
        "http.route": "/v1/jobs/{job_id}",
        "http.response.status_code": 404,
        "llmos.request_id": "mine",
    }
    assert (found.name, unmatched.name) == ("GET /v1/jobs/{job_id}", "GET")
    assert (odd.attributes or {})["http.request.method"] == "_OTHER"
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert MARKER not in spans.said().casefold()


def test_a_bug_fails_the_span_and_tells_nothing(tmp_path: Path, spans: Spans) -> None:
    desk = FakeDesk()
    desk.failure = RuntimeError(MARKER)
    with make_gateway(tmp_path, desk, spans.tracing).client(raise_server_exceptions=False) as client:
        assert client.post(f"/v1/moderations?key={MARKER}", json={"input": MARKER}).status_code == 500
    request = spans.one("POST /v1/moderations")
    assert (request.status.status_code, request.status.description) == (StatusCode.ERROR, None)
    assert MARKER not in spans.said()


def test_fastapis_own_traces_stay_off_since_they_tell_query_strings(
    tmp_path: Path, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", spans.provider)
    monkeypatch.setenv("FASTAPI_OTEL_AUTO_CONFIGURE", "true")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with make_gateway(tmp_path).client() as client:
        assert client.post(f"/v1/moderations?key={MARKER}", json={"input": "hello"}).status_code == 200
    assert list(spans) == []
