"""Publishes the gateway's jobs from a thread of its own, so that the event loop never waits for Kafka."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from pipeline.publish import Delivery, JobPublisher
from pipeline.settings import Settings
from schemas.jobs import TextJob

if TYPE_CHECKING:
    from pipeline.spans import Tracing

DELIVERY_MS: Final = 5_000
"""How long Kafka may take to confirm: a client that is told soon can try again, and jobs that wait here lie in memory only."""
REQUEST_MS: Final = 4_000
CLIENT: Final = {
    "linger_ms": 0,  # sent as soon as it is there; what comes meanwhile shares the next request
    "delivery_timeout_ms": DELIVERY_MS,
    "request_timeout_ms": REQUEST_MS,
    "max_block_ms": DELIVERY_MS,
    # kafka-python 3.0.12 never sends again once it gave up on a batch that carried a number. A repeated job is harmless.
    "enable_idempotence": False,
}
"""What is otherwise than for other producers."""


class Publishing:
    """One producer and its thread. `on_broken` gets what no publisher should raise."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        tracing: "Tracing | None" = None,
        *,
        on_delivered: Callable[[Delivery], None] | None = None,
        on_failed: Callable[[Sequence[str], Exception], None] | None = None,
        on_broken: Callable[[Exception], None],
    ) -> None:
        self._reply_to = settings.gateway_topic
        self._on_broken = on_broken
        self._publisher = JobPublisher(settings, on_delivered=on_delivered, on_failed=on_failed, client=CLIENT, tracing=tracing)
        self._thread = ThreadPoolExecutor(1, name)
        self._open = False

    async def start(self) -> None:
        """Connect; raises TransientError or ConfigurationError."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._publisher.__enter__)
        self._open = True

    def send(self, jobs: Sequence[TextJob]) -> None:
        """Publish each as a record of its own, and return at once; what comes of it, the callbacks tell."""
        self._thread.submit(copy_context().run, self._send, jobs).add_done_callback(self._sent)  # within the request's trace

    async def deliver(self, jobs: Sequence[TextJob], first: Callable[[], None]) -> None:
        """Call `first` and publish many jobs a record; returns when all are confirmed, raises TransientError if one is not."""
        await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, self._deliver, jobs, first)

    async def stop(self) -> None:
        """Disconnect; what is not confirmed by now is not waited for."""
        if self._open:
            self._open = False
            error = ConnectionAbortedError("stopped")  # the publisher waits for deliveries unless something was raised
            await asyncio.get_running_loop().run_in_executor(self._thread, self._publisher.__exit__, type(error), error, None)
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _send(self, jobs: Sequence[TextJob]) -> None:
        for job in jobs:
            self._publisher.publish(self._ours(job))

    def _sent(self, sending: Future[Any]) -> None:
        if not sending.cancelled() and isinstance(error := sending.exception(), Exception):
            self._on_broken(error)

    def _deliver(self, jobs: Sequence[TextJob], first: Callable[[], None]) -> None:
        first()
        self._publisher.publish_many(self._ours(job) for job in jobs)
        self._publisher.flush()

    def _ours(self, job: TextJob) -> TextJob:
        return job.model_copy(update={"reply_to": self._reply_to})
