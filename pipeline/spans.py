"""Spans of OpenTelemetry: what each process did with a job, and when. The one module that knows OpenTelemetry.

Names and attributes follow its conventions for messaging and HTTP. No text, no query string and no message of an error becomes
part of a span. Only contexts whose sampled flag is set lead to spans in the stages, and travel on.
"""

import atexit
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pipeline.tracing import HEADER, Attributes, Headers, Incoming, trace_headers, traceparent_of

CLOSE_S: Final = 3
"""How long a process that exits may take to send its last spans: a collector that is away must not hold it."""
SPANS_MAX: Final = 512
"""Jobs of a batch that get a span of their own; the rest go on with the context that they brought."""
LINKS_MAX: Final = 128
"""Jobs that the span of a batch names: as many as OpenTelemetry keeps by default."""
_W3C: Final = TraceContextTextMapPropagator()
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_SERVER_ERROR: Final = 500


def exporting(service: str, instance: str | None) -> "Tracing":
    """Traces that are sent out in the background, over bounded queues, until this process exits; its log lines name them."""
    named = {"service.name": service, "service.version": version("llmos")} | (
        {"service.instance.id": instance} if instance else {}
    )
    resource = Resource.create(named).merge(OTELResourceDetector().detect())  # what the environment says is stronger
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # its own way out has no end
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    atexit.register(_close, provider)
    for handler in logging.getLogger().handlers:
        handler.addFilter(mark)
    return Tracing(provider)


def _close(provider: TracerProvider) -> None:
    closing = threading.Thread(target=provider.shutdown, name="traces", daemon=True)
    closing.start()
    closing.join(CLOSE_S)


def ambient() -> "Tracing":
    """Traces that go wherever the program sends its own; nowhere, but with its contexts passed on, where it has set up none."""
    return Tracing(trace.get_tracer_provider())


def mark(record: logging.LogRecord) -> bool:
    """A filter of a log's handler: notes on `record` the trace and span that it falls into, and lets everything through."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        record.trace_id, record.span_id = trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
    return True


@dataclass(frozen=True, slots=True)
class Request:
    """The span of an HTTP request."""

    span: Span
    method: str

    def answered(self, route: str | None, status: int, request_id: str) -> None:
        """What came of it: the pattern of its route, None where its path fits none, and the status, 0 where no reply began."""
        self.span.set_attributes({"http.response.status_code": status, "llmos.request_id": request_id})
        if route:
            self.span.set_attribute("http.route", route)
            self.span.update_name(f"{self.method} {route}")
        if not 0 < status < _SERVER_ERROR:
            _fail(self.span, str(status))


class Sending:
    """The span of a record on its way to the broker, and the headers by which the record names it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.headers = trace_headers(_traceparent(span))

    def end(self, error: Exception | None) -> None:
        """The broker has confirmed the record, or it has failed."""
        if error is not None:
            _fail(self._span, type(error).__name__)
        self._span.end()


class Batch:
    """The spans of a batch under way; `contexts` are what its records go on with, in their order."""

    def __init__(self, contexts: Sequence[str | None], spans: Mapping[str, Span]) -> None:
        self.contexts = contexts
        self._spans = spans

    def refused(self, dead_letters: Iterable[Headers]) -> None:
        """Mark the spans that dead letters with these headers belong to."""
        for headers in dead_letters:
            if span := self._spans.get(traceparent_of(headers) or ""):
                _fail(span, "dead_letter")


class Tracing:
    """Makes spans; for any thread."""

    def __init__(self, provider: trace.TracerProvider) -> None:
        self._tracer = provider.get_tracer("llmos", version("llmos"))

    @contextmanager
    def request(self, method: str, traceparent: str | None) -> Iterator[Request]:
        """The span of an HTTP request, the current one meanwhile; `traceparent` is what its sender says."""
        known = method if method in _METHODS else "_OTHER"
        attributes = {"http.request.method": known}
        with self._span(known, _given(traceparent), SpanKind.SERVER, attributes, current=True) as span:
            yield Request(span, known)

    def publishing(self, topic: str, jobs: int, headers: Headers) -> Sending | None:
        """The span of a record that goes out within the current trace; None where its `headers` name another one already."""
        if traceparent_of(headers):
            return None
        attributes: Attributes = {**_messaging("publish", "send", topic), "messaging.batch.message_count": jobs}
        return Sending(self._tracer.start_span(f"publish {topic}", kind=SpanKind.PRODUCER, attributes=attributes))

    @contextmanager
    def batch(self, topic: str, taken: Sequence[Incoming], group: str | None = None) -> Iterator[Batch]:
        """Spans over what a stage does with `taken`: one for each that brings a sampled context, as a part of that trace.

        Where these are several, there is one more for all of them, a trace of its own: it links to them, and they to it.
        """
        parents = [_sampled(one.traceparent) for one in taken]
        contexts = [one.traceparent if parent else None for one, parent in zip(taken, parents, strict=True)]
        traced = [place for place, parent in enumerate(parents) if parent is not None]
        common = _messaging("process", "process", topic) | ({"messaging.consumer.group.name": group} if group else {})
        spans: dict[str, Span] = {}
        with ExitStack() as stack:
            links = self._whole(stack, common, [parents[place] for place in traced], len(taken))
            for place in traced[:SPANS_MAX]:
                attributes = {**common, **taken[place].attributes}
                opened = self._span(f"process {topic}", parents[place], SpanKind.CONSUMER, attributes, links, current=not links)
                span = stack.enter_context(opened)
                contexts[place] = _traceparent(span)
                spans[contexts[place] or ""] = span
            yield Batch(contexts, spans)

    def _whole(self, stack: ExitStack, common: Attributes, parents: Sequence[Context | None], messages: int) -> list[Link]:
        """Open the span over a batch in which several are traced; returns the link to it, none where it is not needed."""
        if len(parents) <= 1:
            return []
        linked = {context.span_id: Link(context) for context in map(_context, parents)}
        name = f"process_batch {common['messaging.destination.name']}"
        attributes = {**common, "messaging.operation.name": "process_batch", "messaging.batch.message_count": messages}
        opened = self._span(name, Context(), SpanKind.CONSUMER, attributes, list(linked.values())[:LINKS_MAX], current=True)
        return [Link(stack.enter_context(opened).get_span_context())]

    @contextmanager
    def _span(
        self,
        name: str,
        parent: Context | None,
        kind: SpanKind,
        attributes: Attributes,
        links: Sequence[Link] = (),
        *,
        current: bool,
    ) -> Iterator[Span]:
        """A span until the body ends; what the body raises fails it by its type alone, for a message may quote a text."""
        span = self._tracer.start_span(name, parent, kind, dict(attributes), links)
        with ExitStack() as stack:
            stack.callback(span.end)
            if current:
                stack.enter_context(trace.use_span(span, record_exception=False, set_status_on_exception=False))
            try:
                yield span
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise


def _messaging(name: str, kind: str, topic: str) -> dict[str, str]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }


def _fail(span: Span, error: str) -> None:
    span.set_attribute("error.type", error)
    span.set_status(StatusCode.ERROR)


def _given(traceparent: str | None) -> Context:
    """The context that a stranger names; an empty one where there is none, or it is malformed."""
    return _W3C.extract({HEADER: traceparent}) if traceparent else Context()


def _sampled(traceparent: str | None) -> Context | None:
    given = _given(traceparent)
    return given if _context(given).trace_flags.sampled else None


def _context(context: Context | None) -> trace.SpanContext:
    return trace.get_current_span(context).get_span_context()


def _traceparent(span: Span) -> str | None:
    """What names `span`, if it is sampled."""
    carrier: dict[str, str] = {}
    _W3C.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get(HEADER) if span.get_span_context().trace_flags.sampled else None
