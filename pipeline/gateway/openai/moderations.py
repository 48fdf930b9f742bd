"""POST /v1/moderations: texts in, one request to the desk for all of them, results in OpenAI's words out."""

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from pipeline.gateway.contract import Caller, Context
from pipeline.gateway.dialect import json_reply
from pipeline.gateway.openai.categories import moderation
from pipeline.gateway.openai.incoming import Key, read_json
from pipeline.gateway.openai.moderation_request import (
    ALIASES,
    DEFAULT_MODEL,
    ModerationRequest,
    Rules,
    parse_request,
    scores_of,
)
from pipeline.gateway.openai.replies import MODERATION_EXAMPLE, Moderations, replies
from schemas.ids import new_job_id
from schemas.jobs import TextJob

_PART: Final = {
    "type": "object",
    "required": ["type", "text"],
    "properties": {"type": {"type": "string", "enum": ["text"]}, "text": {"type": "string"}},
}


def rules_of(context: Context) -> Rules:
    """What requests may ask of this gateway: OpenAI's names for models, or those of the models that are served."""
    served = (model.name for model in context.models)
    return Rules(frozenset((*ALIASES, *served)))


def moderations_router(context: Context) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["moderations"])
    rules = rules_of(context)

    @router.post(
        "/v1/moderations",
        response_model=Moderations,
        responses=replies(MODERATION_EXAMPLE, 413, 422, 504),
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(rules)}}}},
        operation_id="createModeration",
        summary="Score texts, and say whether the policy flags them",
    )
    async def create_moderation(request: Request, key: Key) -> Response:
        context.gate.enter(key, texts=0)  # who shows no key learns nothing about his body
        asked = parse_request(await read_json(request), rules)
        caller = context.gate.enter(key, texts=len(asked.texts))
        return json_reply(await _moderate(context, caller, asked))

    return router


async def _moderate(context: Context, caller: Caller, asked: ModerationRequest) -> dict[str, Any]:
    scored = asked.scored()
    jobs = [TextJob(text=asked.texts[index], tenant=caller.tenant) for index in scored]
    outcomes = await context.desk.ask(jobs) if jobs else []
    results = scores_of(asked, dict(zip(scored, outcomes, strict=True)))
    return reply(f"modr-{new_job_id().replace('-', '')}", asked.model, [moderation(scores) for scores in results])


def reply(name: str, model: str, results: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a reply; also of one line of a batch's output."""
    return {"id": name, "model": model, "results": results}


def _schema(rules: Rules) -> dict[str, Any]:
    many = {"type": "array", "minItems": 1, "maxItems": rules.inputs_max}
    return {
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {
                "description": "One text, several texts, or the text parts of one.",
                "anyOf": [{"type": "string"}, {**many, "items": {"type": "string"}}, {**many, "items": _PART}],
            },
            "model": {
                "type": ["string", "null"],
                "enum": [*sorted(rules.models), None],
                "default": DEFAULT_MODEL,
                "description": "All names mean the model that is served.",
            },
        },
        "examples": [{"input": "hello friend"}, {"input": ["hello", "you idiot"], "model": DEFAULT_MODEL}],
    }
