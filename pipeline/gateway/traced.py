"""The span of each request, around all else that a request passes; in the app only where traces are on.

Like its neighbours it looks at no query string and no body.
"""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.gateway.exchange import current_exchange
from pipeline.gateway.middleware import PROBES
from pipeline.tracing import HEADER

if TYPE_CHECKING:
    from pipeline.spans import Tracing


class Traced:
    """The outermost: a span from the request to the end of its reply, in the trace that the sender names, if it does."""

    def __init__(self, app: ASGIApp, tracing: "Tracing") -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracing.request(scope["method"], _traceparent(scope)) as request:
            try:
                await self._app(scope, receive, send_on)
            finally:
                exchange = current_exchange()
                request.answered(getattr(scope.get("route"), "path", None), status, exchange.request_id if exchange else "")


def _traceparent(scope: Scope) -> str | None:
    wanted = HEADER.encode()
    return next((value.decode("latin-1") for name, value in scope["headers"] if name == wanted), None)
