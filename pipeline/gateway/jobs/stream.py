"""Outcomes as server-sent events, for as long as a client listens: first what it has missed, then what comes.

A stream ends when the client leaves or reads too slowly, its key is revoked, or the gateway drains. A client that comes back with
Last-Event-ID has missed nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pipeline.gateway.contract import GatewayError
from pipeline.gateway.jobs.hub import Hub, Listener
from pipeline.gateway.jobs.replies import event_chunk
from pipeline.gateway.jobs.store import JobStore

HEARTBEAT_S: Final = 15.0
"""A comment so often, where nothing else is sent: proxies close connections that are silent for a minute."""
SEND_S: Final = 20.0
"""How long a client may take in nothing before it is let go: it can come back and resume."""
END_S: Final = 1.0
"""How long the end of a stream may take: part of a stop."""
PAGE: Final = 100
"""Outcomes read from the store and sent in one go."""
RETRY: Final = b"retry: 2000\n\n"
"""Milliseconds after which a client that lost its stream comes back."""
HEARTBEAT: Final = b": still here\n\n"


class EventStream(Response):
    """A reply of `chunks` without an end of its own; `leave` is called once, whatever ends it."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes], draining: asyncio.Event, leave: Callable[[], None]) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._chunks = chunks
        self._draining = draining
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (the signature is Starlette's)
        """Send until something ends it."""
        tasks = [asyncio.ensure_future(work) for work in (self._send(send), _gone(receive), self._draining.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            await self._chunks.aclose()
        ended = [result for result in results if isinstance(result, Exception) and not isinstance(result, TimeoutError | OSError)]
        if ended:
            raise ended[0]
        with suppress(TimeoutError, OSError):  # then the server cuts the connection
            async with asyncio.timeout(END_S):
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for chunk in self._chunks:
            async with asyncio.timeout(SEND_S):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def outcomes(store: JobStore, listener: Listener, after: int, still_welcome: Callable[[], object]) -> AsyncGenerator[bytes]:
    """The chunks of a stream: all outcomes numbered above `after`. Ends when `still_welcome` raises."""
    cursor = after
    listener.behind = True
    yield RETRY
    while True:
        if listener.behind:
            listener.catch_up()
            while page := await store.events(listener.tenant, cursor, PAGE):
                cursor = page[-1].seq or cursor
                yield b"".join(map(event_chunk, page))
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                jobs = await listener.next()
        except TimeoutError:
            yield HEARTBEAT
            jobs = []
        try:
            still_welcome()
        except GatewayError:
            return
        news = [job for job in jobs if (job.seq or 0) > cursor]
        if news:
            cursor = news[-1].seq or cursor
            yield b"".join(map(event_chunk, news))


def open_stream(
    store: JobStore,
    hub: Hub,
    tenant: str,
    after: int,
    *,
    draining: asyncio.Event,
    still_welcome: Callable[[], object],
) -> EventStream:
    """A stream of the tenant's outcomes; raises Overloaded where too many listen."""
    listener = hub.join(tenant)
    return EventStream(outcomes(store, listener, after, still_welcome), draining, lambda: hub.leave(listener))
