"""Publishes jobs from Python programs: bounded in flight, and every failed delivery reported.

with JobPublisher() as publisher:
    publisher.publish(TextJob(text="hello"))
"""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline.refusal import failure
from pipeline.renewal import renewing
from pipeline.settings import Settings
from pipeline.tracing import ambient_tracing
from schemas.jobs import TextJob

if TYPE_CHECKING:
    from pipeline.spans import Sending, Tracing

_BULK_BYTES_MAX: Final = 512 << 10
"""A bulk record is closed at this size: small enough for every limit on the way."""
_IN_FLIGHT_BYTES_MAX: Final = 64 << 20
"""Bytes published and not yet confirmed, at most: the setting counts jobs, and a job may be large."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A confirmed record: the ids of its jobs (none for a raw record) and where it lies now."""

    job_ids: tuple[str, ...]
    topic: str
    partition: int
    offset: int


class JobPublisher:
    """A context manager, for one thread. `on_delivered` and `on_failed` are called from another thread: be quick there.

    `client` holds options of kafka-python's producer that are to differ from those of the settings. Where traces are on, records
    belong to the current one, and `tracing` or else the program's own OpenTelemetry gets a span for each.
    Leaving the context waits for every delivery and raises TransientError if any has failed; ConfigurationError where the
    broker refuses this user. What a callback has raised is raised there too.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        on_delivered: Callable[[Delivery], None] | None = None,
        on_failed: Callable[[Sequence[str], Exception], None] | None = None,
        client: Mapping[str, Any] | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._settings = settings or Settings()
        self._client = dict(client or {})
        self._on_delivered = on_delivered
        self._on_failed = on_failed
        self._room = threading.Condition()
        self._in_flight = self._in_flight_bytes = 0
        self._failed = 0
        self._cause: Exception | None = None
        self._callback_error: Exception | None = None
        self._tracing = tracing
        self._producer: KafkaProducer | None = None

    def __enter__(self) -> Self:
        self._tracing = self._tracing or ambient_tracing(self._settings)
        try:
            self._producer = renewing(KafkaProducer(**options.producer(self._settings) | self._client))
        except KafkaError as error:
            raise failure("no connection to Kafka", error) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            options.close(self._open(), timeout=1)

    def publish(self, job: TextJob) -> None:
        """Send one job as a record of its own; waits while too many are in flight."""
        self._send((job.job_id,), job.__pydantic_serializer__.to_json(job), job.job_id.encode())

    def publish_many(self, jobs: Iterable[TextJob]) -> None:
        """Send many jobs, several a record; waits while too many are in flight."""
        ids: list[str] = []
        values: list[bytes] = []
        size = 0
        for job in jobs:
            value = job.__pydantic_serializer__.to_json(job)
            if ids and (len(ids) >= self._settings.publish_bulk_jobs or size + len(value) > _BULK_BYTES_MAX):
                self._send(tuple(ids), _bulk(values), None)
                ids, values, size = [], [], 0
            ids.append(job.job_id)
            values.append(value)
            size += len(value)
        if ids:
            self._send(tuple(ids), _bulk(values), None)

    def publish_raw(self, value: bytes, key: bytes | None = None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Send a record as it is, whatever it holds: what is wrong with it, the dead letters will tell."""
        self._send((), value, key, headers)

    def flush(self) -> None:
        """Wait until every delivery is confirmed or has failed; raises as the class says if any failed since the last flush."""
        self._open().flush()
        with self._room:
            self._room.wait_for(lambda: self._in_flight == 0)
            failed, self._failed = self._failed, 0
            cause, self._cause = self._cause, None
            raised, self._callback_error = self._callback_error, None
        if raised:
            raise raised
        if failed and cause:
            raise failure(f"{failed:,} jobs were not delivered; the first cause", cause) from cause

    def _send(self, ids: tuple[str, ...], value: bytes, key: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        jobs, size = max(1, len(ids)), len(value)
        with self._room:
            self._room.wait_for(lambda: self._in_flight == 0 or self._fits(jobs, size))
            self._in_flight += jobs
            self._in_flight_bytes += size
        sending = self._tracing.publishing(self._settings.jobs_topic, jobs, headers) if self._tracing else None
        named = [*headers, *sending.headers] if sending else list(headers)
        try:
            future = self._open().send(self._settings.jobs_topic, value, key=key, headers=named)
        except KafkaError as error:
            self._done(ids, size, sending, None, error)
            return
        future.add_callback(lambda metadata: self._done(ids, size, sending, metadata, None))
        future.add_errback(lambda error: self._done(ids, size, sending, None, error))

    def _fits(self, jobs: int, size: int) -> bool:
        within_jobs = self._in_flight + jobs <= self._settings.publish_in_flight_jobs
        return within_jobs and self._in_flight_bytes + size <= _IN_FLIGHT_BYTES_MAX

    def _done(
        self,
        ids: tuple[str, ...],
        size: int,
        sending: "Sending | None",
        metadata: Any,  # noqa: ANN401
        error: Exception | None,
    ) -> None:
        if sending:
            sending.end(error)
        raised: Exception | None = None
        try:
            self._tell(ids, metadata, error)
        except Exception as its_own:  # noqa: BLE001 (kafka-python would swallow it, and the count would never reach 0)
            raised = its_own
        with self._room:
            jobs = max(1, len(ids))
            self._in_flight -= jobs
            self._in_flight_bytes -= size
            self._callback_error = self._callback_error or raised
            if error is not None:
                self._failed += jobs
                self._cause = self._cause or error
            self._room.notify_all()

    def _tell(self, ids: tuple[str, ...], metadata: Any, error: Exception | None) -> None:  # noqa: ANN401
        if error is not None and self._on_failed:
            self._on_failed(ids, error)
        elif error is None and self._on_delivered:
            self._on_delivered(Delivery(ids, metadata.topic, metadata.partition, metadata.offset))

    def _open(self) -> KafkaProducer:
        assert self._producer is not None, "use the publisher as a context manager"
        return self._producer


def _bulk(values: list[bytes]) -> bytes:
    return b"[" + b",".join(values) + b"]"
