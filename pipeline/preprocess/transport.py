"""Faust's Kafka transport with one of its constants made a setting: how long a broker may hold a fetch that finds nothing.

Apache Kafka answers at once when records come. The embedded broker looks for them only twice in that time, so that Faust's
1.5 s would be most of a job's latency. And a stop that ends also while a broker is away, and that leaves no group on the
embedded broker: there a group whose leader leaves while it forms never gets another one. Its members time out instead.
"""

import asyncio
from contextlib import suppress
from typing import Any

from faust.transport.drivers import aiokafka as driver


async def _stay() -> None:
    pass


class _ConsumerThread(driver.AIOKafkaConsumerThread):
    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401 (Faust is untyped)
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = self.app.fetch_wait_ms  # type: ignore[attr-defined]  # noqa: SLF001 (read when it starts)
        return consumer

    async def on_thread_stop(self) -> None:
        # Where a fetch has just failed, aiokafka lets a wait that it has cancelled itself escape from its stop. The thread would
        # end without a word, and Faust wait for it until the grace period is over.
        if self._consumer and not self.app.leaves_groups:  # type: ignore[attr-defined]
            self._consumer._coordinator._maybe_leave_group = _stay  # noqa: SLF001 (it has no setting for it)
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class Transport(driver.Transport):
    """For an app that has a `fetch_wait_ms`, and `leaves_groups` or not."""

    Consumer = _Consumer
