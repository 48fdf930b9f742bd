"""Traces that stay in memory, and contexts as strangers send them."""

from collections.abc import Iterator

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler

from pipeline.spans import Tracing
from pipeline.tracing import traceparent_of

Headers = tuple[tuple[str, bytes], ...]


class Spans:
    """What a process would send out, in the order in which it ended."""

    def __init__(self, sampler: Sampler | None = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(sampler or ParentBased(ALWAYS_ON), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(self.provider)

    def __iter__(self) -> Iterator[ReadableSpan]:
        return iter(self._exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """All that are called so."""
        return [span for span in self if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """The one that is called so."""
        (span,) = self.named(name)
        return span

    def said(self) -> str:
        """Everything that they tell, in one string."""
        return "\n".join(span.to_json() for span in self)


def traceparent(number: int, *, sampled: bool = True) -> str:
    """A context: each number is a trace of its own."""
    return f"00-{number:032x}-{number:016x}-{sampled:02x}"


def header(number: int, *, sampled: bool = True) -> Headers:
    """The same as the headers of a record."""
    return (("traceparent", traceparent(number, sampled=sampled).encode()),)


def trace_of(span: ReadableSpan) -> int:
    """Its trace, as the numbers above."""
    return span.get_span_context().trace_id


def parent_of(span: ReadableSpan) -> int | None:
    """The id of the span that it is a part of."""
    return span.parent.span_id if span.parent else None


def id_of(span: ReadableSpan) -> int:
    """Its own id."""
    return span.get_span_context().span_id


def ids_in(headers: Headers) -> tuple[int, int]:
    """The trace and the span that a record names."""
    _, trace, span, flags = (traceparent_of(headers) or "").split("-")
    assert int(flags, 16) & 1, "sampled"
    return int(trace, 16), int(span, 16)
