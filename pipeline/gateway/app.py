"""The gateway's app: three APIs side by side, each with its own words for what goes wrong."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from pipeline.gateway.contract import Context, GatewayError, Part
from pipeline.gateway.dialect import json_reply, openai_error
from pipeline.gateway.jobs.part import jobs_part
from pipeline.gateway.middleware import Front, Guard
from pipeline.gateway.openai.part import openai_part
from pipeline.gateway.openapi import document
from pipeline.gateway.pages import CONTENT_SECURITY_POLICY, documentation_page
from pipeline.gateway.perspective.errors import google_error
from pipeline.gateway.perspective.part import perspective_part
from pipeline.gateway.traced import Traced
from schemas.errors import MessageError

PARTS: Final[tuple[Callable[[Context], Part], ...]] = (jobs_part, openai_part, perspective_part)
"""What makes each part. The order of their routes does not matter: their paths are distinct."""
GOOGLE_PATHS: Final = ("/v1alpha1", "/$discovery", "/batch")
"""Where errors are told in Google's words; everywhere else in OpenAI's."""
EXPOSED_HEADERS: Final = (
    *("x-request-id", "retry-after", "location", "openai-processing-ms"),
    *("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
)
"""What a web page of another origin may read of a reply."""
PATH_CHARACTERS_MAX: Final = 200


def build_app(context: Context) -> FastAPI:
    """The app, which starts and stops its parts in its lifespan.

    `app.state.parts` are the parts, whose sinks the desk must know before the lifespan begins. Whoever serves the app sets
    `app.state.draining` when it stops taking requests: streams, which have no end of their own, then come to one. It may set
    `app.state.canary_troubles` to what tells why the gateway is not ready though it takes requests.
    """
    parts = [make(context) for make in PARTS]
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
        # FastAPI's own is off, whatever the environment says: it tells query strings, in which keys stand, and errors' messages.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.parts = parts
    app.state.draining = asyncio.Event()
    app.state.ready = False
    app.state.canary_troubles = list
    for part in parts:
        app.include_router(part.router)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI's documentation tells to
    app.add_api_route("/openapi.json", _openapi, include_in_schema=False)
    app.add_api_route("/docs", _docs, include_in_schema=False)
    for kind in (GatewayError, MessageError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _told)
    _add_middleware(app, context)
    return app


def _add_middleware(app: FastAPI, context: Context) -> None:
    """The last that is added is the first that a request meets."""
    app.add_middleware(Guard, body_bytes_max=context.settings.http_body_bytes_max, render=render)
    if context.settings.http_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=context.settings.http_cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(Front)
    if context.tracing:
        app.add_middleware(Traced, tracing=context.tracing)


def render(path: str, error: Exception) -> Response:
    """`error` in the words of the API that `path` belongs to."""
    return google_error(error) if path.startswith(GOOGLE_PATHS) else openai_error(error)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    async with AsyncExitStack() as stack:
        parts: Sequence[Part] = app.state.parts
        for part in parts:
            await part.start()
            stack.push_async_callback(part.stop)
        app.state.ready = True
        stack.callback(_not_ready, app)
        yield


def _not_ready(app: FastAPI) -> None:
    app.state.ready = False
    app.state.draining.set()


async def _told(request: Request, error: Exception) -> Response:
    where = f"{request.method} {request.url.path[:PATH_CHARACTERS_MAX]}"
    if isinstance(error, HTTPException) and error.status_code == 404:  # noqa: PLR2004
        error = HTTPException(404, f"Invalid URL ({where})")
    if isinstance(error, HTTPException) and error.status_code == 405:  # noqa: PLR2004
        error = HTTPException(405, f"This URL does not know the method ({where})", await _allowed(request, error))
    return render(request.url.path, error)


async def _allowed(request: Request, error: HTTPException) -> dict[str, str]:
    """The methods of a path. The router names those of one route, where each method has one of its own."""
    document = await asyncio.to_thread(request.app.openapi)
    known = document["paths"].get(getattr(request.scope.get("route"), "path", ""), {})
    methods = sorted(method.upper() for method in known) or [(error.headers or {}).get("Allow", "")]
    return {"allow": ", ".join(methods)}


async def _openapi(request: Request) -> Response:
    return json_reply(await asyncio.to_thread(request.app.openapi))  # it takes a while, the first time


async def _docs(request: Request) -> Response:
    headers = {"content-security-policy": CONTENT_SECURITY_POLICY}
    return HTMLResponse(documentation_page(await asyncio.to_thread(request.app.openapi)), headers=headers)
