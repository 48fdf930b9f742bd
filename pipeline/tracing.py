"""Traces, where they are on: `start_tracing` opens them, and records carry their context in the header `traceparent` (W3C).

Everything here works without OpenTelemetry; all that needs it stands in `pipeline.spans`, which is loaded where traces are on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.settings import Settings
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from pipeline.spans import Tracing

HEADER: Final = "traceparent"

Headers = Sequence[tuple[str, bytes | None]]
Attributes = Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record, or a job in one, as it is taken up: the context that it brings, if any, and what its span shall tell of it."""

    traceparent: str | None
    attributes: Attributes


class Record(Protocol):
    """What a consumer gives, whichever library's."""

    @property
    def partition(self) -> int:
        """Its partition."""
        ...

    @property
    def offset(self) -> int:
        """Its offset there."""
        ...

    @property
    def headers(self) -> Headers:
        """Its headers."""
        ...


def start_tracing(settings: Settings, process: str) -> "Tracing | None":
    """The traces of a process that is called `process`, sent out until it exits; None where they are off.

    Where they go, which are kept and what the process is called, OpenTelemetry's own variables say. Raises ConfigurationError
    where its packages are not installed.
    """
    if not settings.traces:
        return None
    try:
        from pipeline.spans import exporting  # noqa: PLC0415 (an extra, and heavy)
    except ImportError as error:
        raise _not_installed(error) from error
    return exporting(f"llmos-{process}", settings.instance_id)


def ambient_tracing(settings: Settings) -> "Tracing | None":
    """The traces of the program that we are a part of, which gets our spans by its own OpenTelemetry; None where they are off."""
    if not settings.traces:
        return None
    try:
        from pipeline.spans import ambient  # noqa: PLC0415 (an extra, and heavy)
    except ImportError as error:
        raise _not_installed(error) from error
    return ambient()


def _not_installed(error: ImportError) -> ConfigurationError:
    return ConfigurationError(f"LLMOS_TRACES needs OpenTelemetry ({error}): pip install 'llmos[otel]'")


def trace_headers(traceparent: str | None) -> tuple[tuple[str, bytes], ...]:
    """The headers of a record that belongs to a trace; none for one that does not."""
    return ((HEADER, traceparent.encode()),) if traceparent else ()


def incoming(record: Record) -> Incoming:
    """A record with the context in its headers, and its place."""
    return Incoming(traceparent_of(record.headers), place_attributes(record.partition, record.offset))


def place_attributes(partition: int, offset: int) -> dict[str, str | int]:
    """A record's place within its topic, as OpenTelemetry writes it."""
    return {"messaging.destination.partition.id": str(partition), "messaging.kafka.offset": offset}


def traceparent_of(headers: Headers) -> str | None:
    """What a record says of its trace, whatever that is worth; the last header counts."""
    found = next((value for name, value in reversed(headers) if name == HEADER), None)
    return found.decode("ascii", "replace") if found else None
