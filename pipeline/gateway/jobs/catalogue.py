"""GET /v1/models and GET /v1/policies: what is served here, and what decides the caller's verdicts."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic_core import to_json

from pipeline.gateway.contract import Context
from pipeline.gateway.dialect import ApiError, bearer_key, json_reply
from pipeline.gateway.jobs.replies import json_bytes
from pipeline.gateway.jobs.responses import MODEL_RESPONSES, MODELS_RESPONSES, POLICIES_RESPONSES
from pipeline.policies import LoadedPolicy, policy_of
from schemas.bundles import BundleManifest

OWNER: Final = "llmos"
NAME_CHARACTERS_MAX: Final = 64
"""Of a model that does not exist, in an error."""
_TAGS: Final[list[Any]] = ["catalogue"]

ModelId = Annotated[str, Path(alias="model", description="The model's id, as the list has it.")]


class CatalogueRoutes:
    """The handlers; `router` has them. Models do not change while the gateway runs: their JSON is made once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        models = [_model(manifest) for manifest in context.models]
        self._models = {model["id"]: to_json(model) for model in models}
        self._list = to_json({"object": "list", "data": models})
        self.router = APIRouter()
        self._add("/v1/models", self._all_models, "Models", "The models that serve texts here.", MODELS_RESPONSES)
        self._add("/v1/models/{model}", self._one_model, "One model", "A model by its id.", MODEL_RESPONSES)
        text = "Name, release, checksum and thresholds of the caller's own policy. Results name the policy that decided them."
        self._add("/v1/policies", self._policies, "Policies", text, POLICIES_RESPONSES)

    def _add(self, path: str, handler: Any, summary: str, description: str, responses: Any) -> None:  # noqa: ANN401 (what FastAPI takes)
        self.router.add_api_route(
            path, handler, methods=["GET"], tags=_TAGS, summary=summary, description=description, responses=responses
        )

    async def _all_models(self, request: Request) -> Response:
        self._tenant(request)
        return json_bytes(self._list)

    async def _one_model(self, request: Request, model: ModelId) -> Response:
        self._tenant(request)
        if model not in self._models:
            message = f"The model '{model[:NAME_CHARACTERS_MAX]}' does not exist"
            raise ApiError(404, message, param="model", code="model_not_found")
        return json_bytes(self._models[model])

    async def _policies(self, request: Request) -> Response:
        policy = policy_of(self._context.policies(), self._tenant(request))
        return json_reply({"object": "list", "data": [_policy(policy)]})

    def _tenant(self, request: Request) -> str:
        return self._context.gate.enter(bearer_key(request), texts=0).tenant


def _model(manifest: BundleManifest) -> dict[str, Any]:
    return {
        "id": manifest.name,
        "object": "model",
        "created": int(manifest.created_at.timestamp()),
        "owned_by": OWNER,
        "release": manifest.release,
        "task": manifest.task,
        "languages": manifest.languages,
        "labels": [label.model_dump(include={"name", "description", "grade"}) for label in manifest.labels],
    }


def _policy(loaded: LoadedPolicy) -> dict[str, Any]:
    ref, policy = loaded.ref, loaded.policy
    return {
        "object": "policy",
        "name": ref.name,
        "release": ref.release,
        "sha256": ref.sha256,
        "labels": {name: _threshold(threshold) for name, threshold in policy.labels.items()},
        "languages": {
            language: {name: _threshold(threshold) for name, threshold in labels.items()}
            for language, labels in policy.languages.items()
        },
    }


def _threshold(threshold: Any) -> dict[str, float | None]:  # noqa: ANN401
    return {"review": threshold.review, "block": threshold.block}
