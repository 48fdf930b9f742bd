"""Writes the contracts as documents: JSON Schema 2020-12 of every message, and an AsyncAPI 3.0 document over them."""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from schemas.asyncapi import asyncapi_document
from schemas.base import Message
from schemas.bundles import BundleManifest
from schemas.dead_letters import DeadLetter, Replay
from schemas.jobs import BULK_JOBS_MAX, TextJob
from schemas.policies import Policy
from schemas.results import InferenceResult
from schemas.work import WorkDescription

MESSAGES: Final[dict[str, type[Message]]] = {
    "text-job": TextJob,
    "inference-result": InferenceResult,
    "dead-letter": DeadLetter,
    "replay": Replay,
    "work-description": WorkDescription,
    "bundle-manifest": BundleManifest,
    "policy": Policy,
}
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every message by name; `text-jobs` is the bulk form. Jobs are described as they may be sent."""
    found = {name: _schema(name, TypeAdapter(model).json_schema(mode=_mode(name))) for name, model in MESSAGES.items()}
    bulk = TypeAdapter(list[TextJob]).json_schema(mode="validation") | {"minItems": 1, "maxItems": BULK_JOBS_MAX}
    return found | {"text-jobs": _schema("text-jobs", bulk | {"title": "TextJobs", "description": "Several jobs in one record."})}


def _mode(name: str) -> Any:  # noqa: ANN401 (a literal of pydantic's)
    return "serialization" if name in {"inference-result", "dead-letter", "replay", "work-description"} else "validation"


def _schema(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": _DIALECT, "$id": f"urn:llmos:schema:{name}:1", **schema}


def export_schemas(folder: Path) -> list[Path]:
    """Write every document into `folder`, which is made where it is missing; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    found = schemas()
    documents = {f"{name}.schema.json": schema for name, schema in found.items()}
    documents["asyncapi.json"] = asyncapi_document(found)
    return [_write(folder / name, document) for name, document in documents.items()]


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
