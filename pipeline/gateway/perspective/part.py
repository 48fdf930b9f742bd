"""The routes of the Perspective-compatible API, as one part of the gateway."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.gateway.contract import Context, Part, Sink
from pipeline.gateway.perspective.calls import Call, Calls
from pipeline.gateway.perspective.discovery import VERSION, discovery_document, root_url
from pipeline.gateway.perspective.errors import SERVICE, CommentError
from pipeline.gateway.perspective.messages import METHODS, Method
from pipeline.gateway.perspective.openapi import openapi_of
from pipeline.gateway.perspective.rendering import JSON_TYPE, is_pretty, to_json
from pipeline.gateway.perspective.suggestions import SuggestionStore
from pipeline.text.language import LanguageDetector


def perspective_part(context: Context) -> Part:
    """The part. It keeps suggested scores in `context.folder`, and nothing else: outcomes go to whoever waits for them."""
    return _Perspective(context)


class _Perspective:
    sinks: Sequence[Sink] = ()

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = SuggestionStore(context.folder)
        self._calls = Calls(context, self._store, LanguageDetector().detect)
        self.router = APIRouter()
        for method in METHODS:
            self.router.add_api_route(f"/{method.path}", self._endpoint(method), methods=["POST"], **openapi_of(method))
        # Neither is of our own making: the first describes itself, the second is no JSON.
        self.router.add_api_route("/$discovery/rest", self._discover, methods=["GET"], include_in_schema=False)
        self.router.add_api_route("/batch", self._batch, methods=["POST"], include_in_schema=False)

    async def start(self) -> None:
        """There is nothing to take up."""

    async def stop(self) -> None:
        """Close the file."""
        await asyncio.to_thread(self._store.close)

    def _endpoint(self, method: Method) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await self._calls.answer(method.name, await _call_of(request))

        return endpoint

    async def _batch(self, request: Request) -> Response:
        return await self._calls.answer_batch(await _call_of(request))

    async def _discover(self, request: Request) -> Response:
        call = await _call_of(request)
        if call.key is not None:
            self._context.gate.enter(call.key, texts=0)
        version = call.query.get("version", VERSION)
        if version != VERSION:
            text = f"Discovery document not found for API service: {SERVICE} format: rest version: {version[:100]}"
            raise CommentError(text, code=404)
        root = root_url(self._context.settings.http_public_url, call.headers, scheme=request.url.scheme)
        document = to_json(discovery_document(root), pretty=is_pretty(call.query.get("prettyPrint")))
        return Response(document, media_type=JSON_TYPE)


async def _call_of(request: Request) -> Call:
    return Call(dict(request.query_params), dict(request.headers), await request.body())
