"""The OpenAPI document of all parts: FastAPI's, with what it cannot know: who needs which key, and errors as they really are."""

from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pipeline.gateway.error_docs import error_schemas

DESCRIPTION: Final = """Texts in, verdicts out. The same gateway speaks three dialects:

- **/v1/jobs**, models and policies: its own;
- **/v1/moderations**, files and batches: OpenAI's, so that its clients only need another base URL;
- **/v1alpha1/comments:analyze**: Perspective's, for clients of the Comment Analyzer. Its `/batch` and its discovery document at
  `/$discovery/rest?version=v1alpha1` are not listed here: they are Google's conventions and describe themselves.

Every reply has an `X-Request-Id`: your own where you sent one.
"""
_LICENCE: Final = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
BEARER: Final = "HTTPBearer"
QUERY_KEY: Final = "key"
_SCHEMES: Final = {
    BEARER: {"type": "http", "scheme": "bearer", "description": "An API key, where the gateway asks for one."},
    QUERY_KEY: {"type": "apiKey", "in": "query", "name": "key", "description": "The same, as Google's clients send it."},
}
_SECURITY: Final[tuple[tuple[str, list[dict[str, list[str]]]], ...]] = (
    ("/v1/", [{BEARER: []}, {}]),
    ("/v1alpha1/", [{QUERY_KEY: []}, {}]),
)
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_AUTOMATIC: Final = ("HTTPValidationError", "ValidationError")
"""What FastAPI documents as 422 of routes with parameters; here they are 400, in another shape."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title="LLM OS gateway", version=version("llmos"), description=DESCRIPTION, routes=app.routes, license_info=_LICENCE
        )
        components = made.setdefault("components", {})
        components["securitySchemes"] = {**components.get("securitySchemes", {}), **_SCHEMES}
        components["schemas"] = {**components.get("schemas", {}), **error_schemas()}
        for path, item in made["paths"].items():
            for method in _METHODS:
                if method in item:
                    _correct(path, item[method])
        for name in _AUTOMATIC:
            components["schemas"].pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema


def _correct(path: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in [status for status, response in responses.items() if _AUTOMATIC[0] in str(response.get("content", ""))]:
        del responses[status]
    for content in (content for response in responses.values() for content in response.get("content", {}).values()):
        for example in [content.get("example"), *(named["value"] for named in content.get("examples", {}).values())]:
            _restore_nulls(example)
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        # In a URL or a header nothing is null: an optional parameter is just not there.
        kinds = [kind for kind in schema.pop("anyOf", []) if kind != {"type": "null"}]
        schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
    for prefix, security in _SECURITY:
        if path.startswith(prefix):
            operation["security"] = security


def _restore_nulls(example: object) -> None:
    """FastAPI drops them, but an error has all its fields."""
    error = example.get("error") if isinstance(example, dict) else None
    if isinstance(error, dict) and "type" in error:
        error.setdefault("param", None)
        error.setdefault("code", None)
