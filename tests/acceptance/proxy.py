"""A wire that can be cut: a TCP proxy on loopback between processes and one broker, with an event loop of its own."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

_CHUNK_BYTES: Final = 64 << 10
_CLIENT_ID_AT: Final = 14
"""Where the client's name begins in the first bytes that a Kafka client sends: after size, key, version, number, length."""


class Proxy:
    """A context manager: inside it, `port` leads to `target` while the wire is whole.

    Clients whose name begins with `spared` never notice a fault: the harness itself, where a broker has one address only.
    """

    def __init__(self, target: int, port: int = 0, spared: bytes | None = None) -> None:
        self._target = target
        self._spared = spared
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._whole = True
        self.port = port

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Break every connection, and each new one, until `mend`."""
        self._call(self._cut)

    def mute(self) -> None:
        """Keep all connections and let no byte through until `mend`: what was sent meanwhile arrives then."""
        self._call(self._mute)

    def mend(self) -> None:
        """As good as new."""
        self._call(self._mend)

    def _call(self, action: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            await action()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=10)

    async def _listen(self) -> None:
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._break_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> None:
        self._whole = False
        self._break_all()

    async def _mute(self) -> None:
        self._flowing.clear()

    async def _mend(self) -> None:
        self._whole = True
        self._flowing.set()

    def _break_all(self) -> None:
        for writer in self._links:
            writer.transport.abort()
        self._links.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = None
        with suppress(OSError, asyncio.CancelledError):
            first = await reader.read(_CHUNK_BYTES)
            spared = self._spared is not None and first[_CLIENT_ID_AT:].startswith(self._spared)
            if self._whole or spared:
                answers, peer = await asyncio.open_connection("127.0.0.1", self._target)
                ours = set() if spared else {writer, peer}
                self._links |= ours
                peer.write(first)
                await asyncio.gather(self._pump(reader, peer, spared=spared), self._pump(answers, writer, spared=spared))
                self._links -= ours
        for end in (writer, peer):
            if end is not None:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spared: bool) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if not spared:
                    await self._flowing.wait()
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
