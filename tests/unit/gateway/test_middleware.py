"""What every request passes: ids, headers, bounded bodies, a log line without secrets, and bugs that stay inside."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from prometheus_client import REGISTRY

from pipeline.gateway import middleware
from pipeline.gateway.middleware import FILES_BODY_BYTES_MAX
from tests.support.front import Gateway, make_gateway
from tests.support.gateway import story

LIMIT = 1_000
APIS = ("/v1/jobs", "/v1alpha1/comments:analyze")


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path, http_body_bytes_max=LIMIT)


def with_route(gateway: Gateway, path: str, run: Callable[[Request], Any]) -> FastAPI:
    """The app, with a route of the test's."""

    async def route(request: Request) -> Response:
        return Response(await run(request))

    gateway.app.add_api_route(path, route, methods=["GET", "POST"])
    return gateway.app


@pytest.mark.parametrize("path", ["/livez", "/docs", "/v1/models", "/v1/jobs/none", "/v1alpha1/none", "/none"])
def test_every_reply_is_guarded_and_named(gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        headers = client.get(path).headers
    assert re.fullmatch(r"req_[0-9a-f]{32}", headers["x-request-id"])
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert ("openai-processing-ms" in headers) == path.startswith("/v1/")


@pytest.mark.parametrize(
    ("given", "kept"),
    [("my-id.7_a", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("-a", False), ("\u00e4", False)],
)
def test_a_request_id_comes_back_where_it_is_a_plain_word(gateway: Gateway, given: str, *, kept: bool) -> None:
    with gateway.client() as client:
        found = client.get("/livez", headers={"x-request-id": given.encode()}).headers["x-request-id"]
    assert (found == given) is kept


@pytest.mark.parametrize("path", APIS)
def test_a_body_that_says_it_is_too_large_is_not_read(gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        reply = client.post(path, content=b"x" * (LIMIT + 1), headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert f"{LIMIT:,} bytes" in reply.json()["error"]["message"]


@pytest.mark.parametrize("path", APIS)
@story
async def test_a_body_in_chunks_is_counted(gateway: Gateway, path: str) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100

    transport = httpx.ASGITransport(gateway.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        reply = await client.post(path, content=chunks(), headers={"content-type": "application/json"})
    assert reply.status_code == 413
    assert sent <= 12


def test_a_body_of_exactly_the_limit_is_read(gateway: Gateway) -> None:
    body = b'{"text":"%s"}' % (b"a" * (LIMIT - 11))
    with gateway.client() as client:
        assert client.post("/v1/jobs", content=body, headers={"content-type": "application/json"}).status_code == 202


def test_files_have_a_limit_of_their_own(gateway: Gateway) -> None:
    with gateway.client() as client:
        lines = b'{"a":1}\n' * LIMIT
        reply = client.post("/v1/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", lines)})
        assert reply.status_code == 200
        length = {"content-length": str(FILES_BODY_BYTES_MAX + 1), "content-type": "multipart/form-data; boundary=x"}
        assert client.post("/v1/files", content=b"", headers=length).status_code == 413


@pytest.mark.parametrize("path", APIS)
@story
async def test_a_body_that_does_not_come_is_not_waited_for(gateway: Gateway, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_GRACE_S", 0.01)
    sent = await call(gateway.app, path, [{"type": "http.request", "body": b"{", "more_body": True}])
    assert sent[0]["status"] == 400
    assert b"too slowly" in sent[1]["body"]


async def call(app: FastAPI, path: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the app sends to a client that sends these messages and then nothing more."""
    sent: list[dict[str, Any]] = []
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        message = next(left, None)
        if message is None:
            await asyncio.Event().wait()
        return message or {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": headers, "client": ("10.0.0.1", 1)}
    await app({"http_version": "1.1", "scheme": "http", "server": ("gateway", 80), **scope}, receive, send)
    return sent


@story
async def test_a_client_that_leaves_is_no_bug(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    partial = {"type": "http.request", "body": b"{", "more_body": True}
    sent = await call(gateway.app, "/v1/jobs", [partial, {"type": "http.disconnect"}])
    assert sent == []
    assert "a bug" not in caplog.text


@pytest.mark.parametrize("path", ["/v1/broken", "/v1alpha1/broken"])
def test_a_bug_is_500_without_a_trace_and_logged_with_one(gateway: Gateway, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_: Request) -> None:
        raise RuntimeError("a secret place")

    with_route(gateway, path, fail)
    with gateway.client() as client:
        reply = client.get(path)
    assert reply.status_code == 500
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert "x-request-id" in reply.headers
    assert f"a bug, in request {reply.headers['x-request-id']}" in caplog.text
    assert "a secret place" in caplog.text


def test_the_log_has_a_line_a_request_and_neither_query_nor_body(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline.gateway")
    with gateway.client() as client:
        client.post("/v1/jobs?wait=1&key=llmos_secret", json={"text": "a private text"})
        client.get("/livez")
    lines = [record.getMessage() for record in caplog.records if record.name == "pipeline.gateway.middleware"]
    assert len(lines) == 1
    assert re.fullmatch(r"POST /v1/jobs 200 \d+\.\d ms request=req_\w+ tenant=default key=- from=testclient", lines[0])


def test_the_log_names_the_key_by_its_id(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline.gateway")
    key = gateway.key("acme")
    with gateway.client(key) as client:
        client.get("/v1/policies")
    assert re.search(r"tenant=acme key=key_[0-9a-f]{16}", caplog.text)
    assert key not in caplog.text


def test_a_path_cannot_break_the_log(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pipeline.gateway")
    with gateway.client() as client:
        client.get("/v1/%0AERROR%1b[2J/" + "x" * 1_000)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "pipeline.gateway.middleware"]
    assert line.isprintable()
    assert len(line) < 400


def test_metrics_count_by_route_and_status(gateway: Gateway) -> None:
    def count(route: str, status: str) -> float:
        return REGISTRY.get_sample_value("llmos_http_requests_total", {"route": route, "status": status}) or 0

    before = count("/v1/jobs/{job_id}", "404"), count("unmatched", "404")
    with gateway.client() as client:
        for path in ("/v1/jobs/a", "/v1/jobs/b", "/none/1"):
            client.get(path)
    assert (count("/v1/jobs/{job_id}", "404"), count("unmatched", "404")) == (before[0] + 2, before[1] + 1)


def test_rate_limits_are_told_with_every_reply_that_has_one(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, http_texts_per_minute=2)
    with gateway.client() as client:
        replies = [client.post("/v1/jobs", json={"text": "hello"}) for _ in range(3)]
        assert "x-ratelimit-limit-requests" not in client.get("/livez").headers
    assert [reply.status_code for reply in replies] == [202, 202, 429]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0", "0"]
    assert replies[2].headers["x-ratelimit-limit-requests"] == "2"
    assert replies[2].headers["retry-after"] == "30"


PREFLIGHT = {
    "origin": "https://a.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization",
}


@pytest.mark.parametrize("path", APIS)
def test_other_sites_may_not_call_unless_told_so(tmp_path: Path, gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        reply = client.options(path, headers=PREFLIGHT)
    assert reply.status_code == 405
    assert not any(name.startswith("access-control") for name in reply.headers)


@pytest.mark.parametrize("path", APIS)
def test_the_sites_of_the_setting_may_call(tmp_path: Path, path: str) -> None:
    gateway = make_gateway(tmp_path, http_cors_origins=("https://a.example",))
    with gateway.client() as client:
        allowed = client.options(path, headers=PREFLIGHT)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        refused = client.options(path, headers={**PREFLIGHT, "origin": "https://b.example"})
        assert "access-control-allow-origin" not in refused.headers
        failed = client.post(path, content=b"{", headers={"origin": "https://a.example", "content-type": "application/json"})
        assert failed.status_code == 400
        assert failed.headers["access-control-allow-origin"] == "https://a.example"
