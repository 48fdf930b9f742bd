"""Answers calls, single ones and those of a batch, by the same function: key, body, method, mask."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from fastapi.responses import Response

from pipeline.gateway.contract import Context, GatewayError
from pipeline.gateway.dialect import bearer_token
from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.analysis import analysis_of, spoken_of
from pipeline.gateway.perspective.attributes import Catalogue
from pipeline.gateway.perspective.binding import bind
from pipeline.gateway.perspective.errors import CommentError, google_error
from pipeline.gateway.perspective.lenient import read_json
from pipeline.gateway.perspective.masks import apply_mask, parse_mask
from pipeline.gateway.perspective.messages import METHODS
from pipeline.gateway.perspective.multipart import (
    InnerRequest,
    InnerResponse,
    boundary_of,
    inner_request,
    join_responses,
    split_parts,
)
from pipeline.gateway.perspective.rendering import JSON_TYPE, is_pretty, to_json
from pipeline.gateway.perspective.scoring import respond
from pipeline.gateway.perspective.suggestions import SuggestionStore, suggestion_of

Respond = Callable[[Mapping[str, Any], str | None], Awaitable[dict[str, Any]]]
"""A method: from a bound request and the caller's key to the response."""

_log = logging.getLogger(__name__)
_METHODS: Final = {method.name: method for method in METHODS}


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request as plain values; names of headers are in lower case."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str | None:
        """The API key that the caller shows."""
        token = bearer_token(self.headers.get("authorization", ""))
        return self.query.get("key") or self.headers.get("x-goog-api-key") or token


class Calls:
    """The methods of the Comment Analyzer."""

    def __init__(self, context: Context, store: SuggestionStore, detect: Callable[[str], str]) -> None:
        self._context = context
        self._store = store
        self._detect = detect
        self._catalogue = Catalogue(context.models)
        self._respond: Mapping[str, Respond] = {"analyze": self._analyze, "suggestscore": self._suggest}

    async def answer(self, method: str, call: Call) -> Response:
        """The response to a call, errors of the gateway's tree included."""
        try:
            self._context.gate.enter(call.key, texts=0)  # who shows no key learns nothing about his request
            types = _METHODS[method]
            fields = call.query.get("fields", "")
            mask = parse_mask(fields, types.response) if fields else None
            request = bind(read_json(call.body), types.request)
            response = await self._respond[method](request, call.key)
        except GatewayError as error:
            return google_error(error)
        pretty = is_pretty(call.query.get("prettyPrint"))
        return Response(to_json(apply_mask(response, mask), pretty=pretty), media_type=JSON_TYPE)

    async def answer_batch(self, call: Call) -> Response:
        """The responses to all calls in the body, in order; a batch that is none is refused as a whole."""
        try:
            requests = _inner_requests(call)
        except GatewayError as error:
            return google_error(error)
        room = asyncio.Semaphore(choices.BATCH_CONCURRENT_CALLS)
        responses = await asyncio.gather(*(self._answer_inner(request, call, room) for request in requests))
        content_type, body = join_responses(responses)
        return Response(body, headers={"content-type": content_type})

    async def _answer_inner(self, request: InnerRequest | None, outer: Call, room: asyncio.Semaphore) -> InnerResponse:
        async with room:
            try:
                response = await self._inner(request, outer)
            except Exception as error:  # noqa: BLE001 (one must not take the others with it)
                if not isinstance(error, GatewayError):
                    _log.exception("a bug, in a call of a batch")
                response = google_error(error)
        headers = {name: value for name, value in response.headers.items() if name != "content-length"}
        content_id = request.content_id if request else None
        return InnerResponse(content_id, response.status_code, headers, bytes(response.body))

    async def _inner(self, request: InnerRequest | None, outer: Call) -> Response:
        path, _, query_string = request.target.partition("?") if request else ("", "", "")
        # A public address may have a path before ours, and a client writes it into the batch too.
        method = next((m for m in METHODS if f"/{unquote(path)}".endswith(f"/{m.path}")), None)
        if request is None or method is None or request.method.upper() != "POST":
            raise CommentError(choices.NO_METHOD, code=404)
        query = dict(parse_qsl(query_string, keep_blank_values=True))
        shared = {name: value for name, value in outer.headers.items() if not name.startswith("content-")}
        key = {"key": outer.query["key"]} if "key" in outer.query else {}
        return await self.answer(method.name, Call({**key, **query}, {**shared, **request.headers}, request.body))

    async def _analyze(self, request: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        analysis = analysis_of(request, self._catalogue, self._detect)
        caller = self._context.gate.enter(key, texts=max(1, len(analysis.texts())))
        return await respond(analysis, caller.tenant, self._context.desk)

    async def _suggest(self, request: Mapping[str, Any], key: str | None) -> dict[str, Any]:
        suggestion = suggestion_of(request)
        spoken = spoken_of(request, suggestion.text, self._catalogue, self._detect)
        caller = self._context.gate.enter(key, texts=1)
        await self._store.add(caller.tenant, suggestion)
        return {
            **({} if suggestion.client_token is None else {"clientToken": suggestion.client_token}),
            **({"detectedLanguages": list(spoken.detected)} if spoken.detected else {}),
            **({"requestedLanguages": list(spoken.requested)} if spoken.requested else {}),
        }


def _inner_requests(call: Call) -> list[InnerRequest | None]:
    boundary = boundary_of(call.headers.get("content-type", ""))
    parts = list(islice(split_parts(call.body, boundary), choices.BATCH_CALLS_MAX + 1)) if boundary else []
    if not parts:
        raise CommentError(choices.EMPTY_BATCH.format(size=len(call.body)))
    if len(parts) > choices.BATCH_CALLS_MAX:
        raise CommentError(choices.LONG_BATCH.format(limit=choices.BATCH_CALLS_MAX))
    return [inner_request(part) for part in parts]
