"""The topics as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, Literal

_JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class _Channel:
    """A topic; `action` is what LLM OS does with it, `messages` are schema names."""

    name: str
    address: str
    action: Literal["send", "receive"]
    messages: tuple[str, ...]
    key: str
    summary: str


_CHANNELS: Final = (
    _Channel(
        "jobs", "llmos.jobs", "receive", ("text-job", "text-jobs"), "job id, or none for the bulk form", "Jobs to be worked on."
    ),
    _Channel("results", "llmos.results", "send", ("inference-result",), "job id", "What came of every job."),
    _Channel("flagged", "llmos.flagged", "send", ("inference-result",), "job id", "Results whose verdict is review or block."),
    _Channel(
        "deadLetters", "llmos.dead-letters", "send", ("dead-letter",), "job id where there is one", "What could not be worked on."
    ),
    _Channel(
        "replays", "llmos.replays", "send", ("replay",), "place of the dead letter", "Notes on dead letters published again."
    ),
    _Channel(
        "replies",
        "llmos.replies.{name}",
        "send",
        ("inference-result", "dead-letter"),
        "job id",
        "Outcomes of jobs that name it in reply_to.",
    ),
    _Channel(
        "work",
        "llmos.work.{model}.{tokenizer}",
        "send",
        ("work-batch",),
        "none",
        "Between preprocess and workers: batches of token windows.",
    ),
)
_PARAMETERS: Final = {
    "name": "Yours to choose; the topic must exist.",
    "model": "Name of the model bundle.",
    "tokenizer": "First eight digits of the SHA-256 of its tokenizer file.",
}


def asyncapi_document(schemas: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The document over the JSON Schemas `schemas`, which it carries whole: every reference stays within it."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "LLM OS",
            "version": version("llmos"),
            "description": "Text jobs in, verdicts out, over Kafka. Topic names carry the configured prefix, by default llmos.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": _JSON,
        "channels": {channel.name: _channel(channel) for channel in _CHANNELS},
        "operations": {channel.name: _operation(channel) for channel in _CHANNELS},
        "components": {
            "messages": {name: _message(name, schema) for name, schema in schemas.items()} | {"work-batch": _work_batch()},
            "schemas": {name: _inlined(name, schema) for name, schema in schemas.items()},
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "address": channel.address,
        "summary": channel.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in channel.messages},
        "bindings": {"kafka": {"bindingVersion": "0.5.0"}},
    }
    names = [name for name in _PARAMETERS if f"{{{name}}}" in channel.address]
    return described | ({"parameters": {name: {"description": _PARAMETERS[name]} for name in names}} if names else {})


def _operation(channel: _Channel) -> dict[str, Any]:
    at = f"#/channels/{channel.name}"
    return {
        "action": channel.action,
        "channel": {"$ref": at},
        "summary": f"{channel.summary} Key: {channel.key}.",
        "messages": [{"$ref": f"{at}/messages/{name}"} for name in channel.messages],
    }


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    payload = {
        "schemaFormat": "application/schema+json;version=draft-2020-12",
        "schema": {"$ref": f"#/components/schemas/{name}"},
    }
    return {"name": name, "title": schema["title"], "contentType": _JSON, "payload": payload}


def _work_batch() -> dict[str, Any]:
    return {
        "name": "work-batch",
        "title": "WorkBatch",
        "contentType": "application/octet-stream",
        "summary": "Binary, version 1, described byte by byte in docs/messages.md; its description part is a work-description.",
        "payload": {"type": "string", "format": "binary"},
    }


def _inlined(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with its references pointing to where it stands in this document."""
    moved = _moved({key: value for key, value in schema.items() if key not in {"$schema", "$id"}}, f"#/components/schemas/{name}")
    assert isinstance(moved, dict), "an object stays an object"
    return moved


def _moved(value: Any, root: str) -> Any:  # noqa: ANN401 (JSON is anything)
    if isinstance(value, dict):
        return {key: root + item[1:] if key == "$ref" else _moved(item, root) for key, item in value.items()}
    return [_moved(item, root) for item in value] if isinstance(value, list) else value
