"""The one small HTTP server that every process has: /metrics for Prometheus, /livez and /readyz for probes.

It asks nobody who he is, and tells no text, key or address. A client may be slow for `REQUEST_S` and share the server with
`CONNECTIONS_MAX` others; one more is cut off.
"""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, NamedTuple

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from pipeline.ready import Readiness
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
CONNECTIONS_MAX: Final = 16
"""Connections at once: Prometheus, some probes, and a person or two."""
REQUEST_S: Final = 10
"""From a connection to the end of its answer, about: longer than any probe waits."""
LOOK_S: Final = 0.5
"""How often slow connections are looked for, and whether the server is to stop."""
_JSON: Final = "application/json"


class Answer(NamedTuple):
    """What a path is answered with."""

    status: HTTPStatus
    kind: str
    body: bytes


def answer(path: str, accept: str, readiness: Readiness) -> Answer:
    """The answer for `path`, which may carry a query; `accept` is the request's header, by which Prometheus names a format."""
    match path.partition("?")[0]:
        case "/livez":
            return _told("ok") if readiness.alive else _told("ending", ["it has given up"])
        case "/readyz":
            because = readiness.because()
            return _told("not ready", because) if because else _told("ready")
        case "/metrics":
            encode, kind = choose_encoder(accept)
            return Answer(HTTPStatus.OK, kind, encode(REGISTRY))
    return Answer(HTTPStatus.NOT_FOUND, _JSON, b'{"status":"not found"}')


def _told(status: str, because: list[str] | None = None) -> Answer:
    if because is None:
        return Answer(HTTPStatus.OK, _JSON, json.dumps({"status": status}).encode())
    body = json.dumps({"status": status, "because": because}, ensure_ascii=False)
    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, _JSON, body.encode())


@contextmanager
def serving_health(settings: Settings, readiness: Readiness) -> Iterator[None]:
    """The server inside, on `metrics_host` and `metrics_port`; nothing where that is 0.

    Raises ConfigurationError for an address that is taken or not ours.
    """
    if not settings.metrics_port:
        yield
        return
    try:
        server = _Server(settings.metrics_host, settings.metrics_port, readiness)
    except OSError as error:
        raise ConfigurationError(f"metrics port {settings.metrics_port} of {settings.metrics_host}: {error.strerror}") from error
    threading.Thread(target=server.serve_forever, args=[LOOK_S], name="health", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, readiness: Readiness) -> None:
        self.readiness = readiness
        self._open: dict[Any, float] = {}
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        self.address_family = family
        super().__init__(address, _Handler)  # type: ignore[arg-type]  # IPv6 has two more numbers, which bind takes as well

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # http.server's own asks the name service who we are, and may wait for that

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (socketserver's signature)
        if len(self._open) >= CONNECTIONS_MAX:
            self.shutdown_request(request)
            return
        self._open[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401 (socketserver's signature)
        self._open.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        for request, since in self._open.copy().items():
            if time.monotonic() - since > REQUEST_S:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002 (socketserver's signature)
        _LOG.debug("a request for health broke off, from %s", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_S
    server_version, sys_version = "llmos", ""

    def do_GET(self) -> None:
        found = answer(self.path, self.headers.get("Accept", ""), self.server.readiness)
        self.send_response(found.status)
        self.send_header("Content-Type", found.kind)
        self.send_header("Content-Length", str(len(found.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(found.body)

    do_HEAD = do_GET  # noqa: N815 (http.server looks for it by this name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (http.server's signature)
        _LOG.debug(format, *args)
