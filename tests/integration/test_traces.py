"""Traces of real processes over a real broker, as a collector gets them; and a collector that is away holds nobody up."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.embedded import free_port
from pipeline.topics import create_topics
from tests.support.http_server import serving
from tests.support.processes import Installation, Stage
from tests.support.traces import traceparent
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

MARKER = "xylophone"


@dataclass
class Collector:
    """What OpenTelemetry's collector would get: spans with the name of their service, by trace."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        """One export."""
        self.bodies.append(await request.body())
        return Response(b"", media_type="application/x-protobuf")

    def trace(self, number: int) -> list[tuple[str, Span]]:
        """All spans of a trace, each with its service."""
        found = []
        for body in tuple(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = {pair.key: pair.value.string_value for pair in resource.resource.attributes}["service.name"]
                spans = [span for scope in resource.scope_spans for span in scope.spans]
                found += [(service, span) for span in spans if int.from_bytes(span.trace_id, "big") == number]
        return found


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    with serving(Starlette(routes=[Route("/v1/traces", collector.take, methods=["POST"])])) as collector.url:
        yield collector


def start(place: Installation, endpoint: str) -> tuple[list[Stage], str]:
    """A gateway and both stages that send their traces there; returns them, and the gateway's address."""
    sending = {"LLMOS_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    port = free_port()
    create_topics(place.settings, [f"{place.settings.reply_prefix}gateway"])
    gateway = place.stage("gateway", LLMOS_HTTP_PORT=str(port), **sending)
    stages = [gateway, place.stage("preprocess", **sending), place.stage("worker", **sending)]
    for stage in stages:
        stage.launch()
    for stage in stages:
        stage.wait_until_ready()
    return stages, f"http://127.0.0.1:{port}"


def test_a_request_is_one_trace_through_three_processes(place: Installation, collector: Collector) -> None:
    stages, url = start(place, collector.url)
    headers = {"traceparent": traceparent(7)}
    reply = httpx.post(f"{url}/v1/jobs?wait=30", json={"text": f"{MARKER} idiot"}, headers=headers, timeout=60)
    assert reply.status_code == 200, reply.text
    wait_until(lambda: len(collector.trace(7)) >= 5, lambda: f"five spans, not {collector.trace(7)}")
    spans = {span.name.partition(".work.")[0]: (service, span) for service, span in collector.trace(7)}
    prefix = place.settings.topic_prefix
    path = {
        "POST /v1/jobs": "llmos-gateway",
        f"publish {prefix}.jobs": "llmos-gateway",
        f"process {prefix}.jobs": "llmos-preprocess",
        f"process {prefix}": "llmos-worker",
        f"process {prefix}.replies.gateway": "llmos-gateway",
    }
    assert {name: service for name, (service, _) in spans.items()} == path
    ids = [spans[name][1].span_id for name in path]
    assert [spans[name][1].parent_span_id for name in path] == [(7).to_bytes(8, "big"), *ids[:-1]]
    assert MARKER.encode() not in b"".join(collector.bodies)
    assert [stage.terminate() for stage in stages] == [0, 0, 0]


def test_a_collector_that_is_away_holds_nobody_up(place: Installation) -> None:
    stages, url = start(place, f"http://127.0.0.1:{free_port()}")
    for number in range(3):
        headers = {"traceparent": traceparent(number + 1)}
        reply = httpx.post(f"{url}/v1/jobs?wait=30", json={"text": "you idiot"}, headers=headers, timeout=60)
        assert reply.status_code == 200, reply.text
    assert [stage.terminate() for stage in stages] == [0, 0, 0]
    assert "Traceback" not in "".join(stage.log for stage in stages)
