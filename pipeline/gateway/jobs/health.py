"""GET /livez and GET /readyz: for probes. They ask for no key and tell no more than why not.

The small server of every process answers the same (`pipeline/health.py`); here they stand where clients and proxies look.
"""

from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.gateway.dialect import json_reply
from pipeline.gateway.jobs.responses import LIVE_RESPONSES, READY_RESPONSES
from pipeline.ready import NOT_UP

_TAGS: Final[list[Any]] = ["health"]

router = APIRouter()


@router.get("/livez", tags=_TAGS, summary="Alive?", responses=LIVE_RESPONSES)
async def livez() -> Response:
    """The process answers; where it does not, start another."""
    return json_reply({"status": "ok"})


@router.get("/readyz", tags=_TAGS, summary="Ready?", responses=READY_RESPONSES)
async def readyz(request: Request) -> Response:
    """The gateway takes requests, and where canaries are on, the last ones got the right answers through the queue."""
    state = request.app.state
    up = state.ready and not state.draining.is_set()
    because = [*([] if up else [NOT_UP]), *state.canary_troubles()]
    return json_reply({"status": "not ready", "because": because}, 503) if because else json_reply({"status": "ready"})
