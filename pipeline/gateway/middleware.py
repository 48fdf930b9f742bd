"""What every request passes before it reaches a route, whichever API it speaks: pure ASGI, a few microseconds each.

`Front` names and times the request, adds headers, counts and logs it. `Guard` bounds its body and catches our bugs. Neither looks
at a query string or a body: keys stand in the one and people's texts in the other.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.gateway.exchange import Exchange, current_exchange, open_exchange
from pipeline.metrics import HTTP_REQUEST_SECONDS, HTTP_REQUESTS

FILES_PATH: Final = "/v1/files"
FILES_BODY_BYTES_MAX: Final = 201 << 20
"""A file of 200 MB, and the multipart frame around it."""
BODY_GRACE_S: Final = 20.0
"""So long may even an empty body take; each `BODY_BYTES_PER_S` buys a second more."""
BODY_BYTES_PER_S: Final = 16 << 10
"""Slower than any line that people use: who sends slower holds a connection for its own sake."""
PATH_CHARACTERS_MAX: Final = 200
"""Of a path in the log."""
UNMATCHED: Final = "unmatched"
"""The route of requests that fit none: paths of strangers must not become names of metrics."""
PROBES: Final = frozenset({"/livez", "/readyz"})
"""Asked every few seconds, so logged at debug only."""
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)

_log = logging.getLogger(__name__)


class Front:
    """The outermost: request ids, `openai-processing-ms`, rate limits and security headers, one log line, metrics."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        exchange = Exchange(_request_id(scope), scope["client"][0] if scope.get("client") else "")
        open_exchange(exchange)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                message["headers"] = _with_headers(message["headers"], scope, exchange, time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        finally:
            _report(scope, exchange, time.perf_counter() - began)


def _request_id(scope: Scope) -> str:
    given = _header(scope, b"x-request-id")
    return given if given and _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


def _header(scope: Scope, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)


def _with_headers(
    headers: list[tuple[bytes, bytes]], scope: Scope, exchange: Exchange, seconds: float
) -> list[tuple[bytes, bytes]]:
    there = {name for name, _ in headers}
    added = [(b"x-request-id", exchange.request_id.encode())]
    added += [header for header in _SECURITY_HEADERS if header[0] not in there]
    if scope["path"].startswith("/v1/"):
        added.append((b"openai-processing-ms", b"%d" % (seconds * 1000)))
    if exchange.allowance:
        added += [(name.encode(), value.encode()) for name, value in exchange.allowance.headers().items()]
    return [*headers, *added]


def _report(scope: Scope, exchange: Exchange, seconds: float) -> None:
    route = str(getattr(scope.get("route"), "path", UNMATCHED))
    HTTP_REQUESTS.labels(route, str(exchange.status)).inc()
    HTTP_REQUEST_SECONDS.labels(route).observe(seconds)
    level = logging.DEBUG if route in PROBES else logging.INFO
    if _log.isEnabledFor(level):
        path = quote(scope["path"], safe="/:$")[:PATH_CHARACTERS_MAX]
        said = "%s %s %d %.1f ms request=%s tenant=%s key=%s from=%s"
        who = exchange.tenant or "-", exchange.key_id or "-", exchange.address or "-"
        _log.log(level, said, scope["method"], path, exchange.status, seconds * 1000, exchange.request_id, *who)


class Guard:
    """The innermost: a body that is too large or too slow is refused, and a bug becomes the reply that `render` gives for it."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes_max: int,
        render: Callable[[str, Exception], Response],
        longer_bodies: Mapping[str, int] | None = None,
    ) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._render = render
        self._longer_bodies = longer_bodies or {FILES_PATH: FILES_BODY_BYTES_MAX}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        bytes_max = self._longer_bodies.get(path.rstrip("/"), self._body_bytes_max)
        length = _header(scope, b"content-length")
        if length is not None and length.isdecimal() and int(length) > bytes_max:
            await self._render(path, _too_large(bytes_max))(scope, receive, send)
            return
        try:
            await self._app(scope, _guarded(receive, bytes_max), send)
        except ClientDisconnect:
            _log.debug("a client left before it had sent its request")
        except Exception as error:
            exchange = current_exchange()
            if exchange and exchange.status:  # the reply is under way: the server cuts it off, which the client notices
                raise
            _log.exception("a bug, in request %s", exchange.request_id if exchange else "-")
            await self._render(path, error)(scope, receive, send)


def _too_large(bytes_max: int) -> HTTPException:
    return HTTPException(413, f"The request's body is larger than {bytes_max:,} bytes.")


def _guarded(receive: Receive, bytes_max: int) -> Receive:
    """`receive`, which raises HTTPException where the body is too large or too slow; after the body it waits for ever."""
    received, complete, began = 0, False, 0.0

    async def receive_some() -> Message:
        nonlocal received, complete, began
        if complete:
            return await receive()
        began = began or asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout_at(began + BODY_GRACE_S + received / BODY_BYTES_PER_S):
                message = await receive()
        except TimeoutError:
            raise HTTPException(400, "The request's body came too slowly.") from None
        received += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if received > bytes_max:
            raise _too_large(bytes_max)
        return message

    return receive_some
