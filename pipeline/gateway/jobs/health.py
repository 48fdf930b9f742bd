"""GET /livez and GET /readyz: for probes. They ask for no key and tell nothing but yes or no."""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.gateway.contract import Unavailable
from pipeline.gateway.dialect import json_reply
from pipeline.gateway.jobs.responses import LIVE_RESPONSES, READY_RESPONSES

_TAGS: Final[list[Any]] = ["health"]

router = APIRouter()


@router.get("/livez", tags=_TAGS, summary="Alive?", responses=LIVE_RESPONSES)
async def livez() -> Response:
    """The process answers; where it does not, start another."""
    return json_reply({"status": "ok"})


@router.get("/readyz", tags=_TAGS, summary="Ready?", responses=READY_RESPONSES)
async def readyz(request: Request) -> Response:
    """The gateway takes requests: it has started, and is not stopping."""
    if not request.app.state.ready or request.app.state.draining.is_set():
        raise Unavailable("the gateway is starting or stopping")
    return json_reply({"status": "ready"})
