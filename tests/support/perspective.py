"""The Perspective-compatible part on its own: with a desk that answers at once and a gate of a few keys."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from pipeline.gateway.contract import Caller, Context, GatewayError, RateLimited, Unauthenticated
from pipeline.gateway.perspective.errors import google_error
from pipeline.gateway.perspective.part import perspective_part
from pipeline.settings import Settings
from schemas.bundles import BundleManifest
from tests.support.desk import FakeDesk
from tests.support.toy import make_toy_bundle

ANALYZE, SUGGEST = "/v1alpha1/comments:analyze", "/v1alpha1/comments:suggestscore"


@dataclass
class FakeGate:
    """Lets everybody in as the tenant default, or, once there are `keys`, their holders as their tenants."""

    keys: dict[str, str] = field(default_factory=dict)
    texts_left: int | None = None
    spent: list[int] = field(default_factory=list)

    def enter(self, key: str | None, *, texts: int = 1) -> Caller:
        if self.keys and key not in self.keys:
            raise Unauthenticated(missing=key is None)
        if self.texts_left is not None and texts > self.texts_left:
            raise RateLimited(limit=60, retry_after_s=12.5)
        self.spent.append(texts)
        return Caller(self.keys.get(key or "", "default"), key)


@dataclass
class Api:
    """The part in an app, and what stands around it."""

    app: FastAPI
    desk: FakeDesk
    gate: FakeGate
    folder: Path

    def client(self) -> TestClient:
        """A client for a with block."""
        return TestClient(self.app, raise_server_exceptions=False)

    def post(self, path: str, body: object, **query: str) -> httpx.Response:
        """The response to one call; bytes are sent as they are, anything else as JSON."""
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        with self.client() as client:
            return client.post(path, params=query, **sent)

    def analyze(self, text: str, **more: object) -> dict[str, Any]:
        """The response to a call of analyze for TOXICITY that must succeed."""
        body = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}, **more}
        response = self.post(ANALYZE, body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


def manifest(folder: Path, **changes: object) -> BundleManifest:
    """The toy's manifest with other values."""
    bundle = make_toy_bundle(folder)
    loaded = BundleManifest.model_validate_json((bundle / "bundle.json").read_bytes())
    return loaded.model_copy(update=changes)


def perspective_api(folder: Path, models: Sequence[BundleManifest] | None = None, settings: Settings | None = None) -> Api:
    """The part over the toy model, with its files in `folder`."""
    desk, gate = FakeDesk(), FakeGate()
    context = Context(
        settings=settings or Settings(),
        desk=desk,
        gate=gate,
        folder=folder,
        policies=dict,
        models=[manifest(folder / "models")] if models is None else models,
    )
    part = perspective_part(context)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await part.start()
        yield
        await part.stop()

    async def answer(_request: Request, error: Exception) -> Response:
        return google_error(error)

    app = FastAPI(lifespan=lifespan)
    app.include_router(part.router)
    for kind in (GatewayError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer)
    return Api(app, desk, gate, folder)
