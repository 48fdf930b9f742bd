"""The discovery document, made from the table of messages: Google's clients learn from it where and how to call."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.messages import ENUMS, MESSAGES, METHODS, Message, Method, json_type

VERSION: Final = "v1alpha1"
_HOST: Final = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")
_PARAMETERS: Final[Mapping[str, tuple[str, str, Mapping[str, Any]]]] = {
    "$.xgafv": ("string", "Version of the error format; accepted and not used.", {"enum": ["1", "2"]}),
    "access_token": ("string", "Accepted and not used.", {}),
    "alt": ("string", "Format of the response; always json.", {"default": "json", "enum": ["json", "media", "proto"]}),
    "callback": ("string", "Accepted and not used.", {}),
    "fields": ("string", "Which fields the response is to have.", {}),
    "key": ("string", "API key.", {}),
    "oauth_token": ("string", "Accepted and not used.", {}),
    "prettyPrint": ("boolean", "Whether the response is indented.", {"default": "true"}),
    "quotaUser": ("string", "Accepted and not used.", {}),
    "uploadType": ("string", "Accepted and not used.", {}),
    "upload_protocol": ("string", "Accepted and not used.", {}),
}


def root_url(public_url: str | None, headers: Mapping[str, str], *, scheme: str) -> str:
    """The address that clients are told to call, with a slash at its end.

    It is `public_url` where that is set, else the one that the caller used: clients send all their traffic there.
    """
    if public_url:
        return public_url.rstrip("/") + "/"
    forwarded = headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    host = headers.get("x-forwarded-host", "").partition(",")[0].strip() or headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = "127.0.0.1"
    return f"{forwarded if forwarded in ('http', 'https') else scheme}://{host}/"


def discovery_document(root: str) -> dict[str, Any]:
    """The document for an API at `root`. It names no `auth`: Google's clients would look for Google's credentials."""
    return {
        "kind": "discovery#restDescription",
        "discoveryVersion": "v1",
        "id": f"commentanalyzer:{VERSION}",
        "name": "commentanalyzer",
        "version": VERSION,
        "revision": choices.REVISION,
        "title": "Perspective Comment Analyzer API",
        "description": "Scores comments for toxicity and other attributes.",
        "canonicalName": "Comment Analyzer",
        "protocol": "rest",
        "ownerDomain": "google.com",
        "ownerName": "Google",
        "fullyEncodeReservedExpansion": True,
        "version_module": True,
        "icons": {},
        "rootUrl": root,
        "baseUrl": root,
        "servicePath": "",
        "basePath": "",
        "batchPath": "batch",
        "parameters": {
            name: {"type": type_, "description": text, "location": "query", **more}
            for name, (type_, text, more) in _PARAMETERS.items()
        },
        "schemas": {name: _schema(name, message) for name, message in MESSAGES.items()},
        "resources": {"comments": {"methods": {method.name: _method(method) for method in METHODS}}},
    }


def _method(method: Method) -> dict[str, Any]:
    return {
        "id": f"commentanalyzer.comments.{method.name}",
        "path": method.path,
        "flatPath": method.path,
        "httpMethod": "POST",
        "description": method.description,
        "parameters": {},
        "parameterOrder": [],
        "request": {"$ref": method.request},
        "response": {"$ref": method.response},
    }


def _schema(name: str, message: Message) -> dict[str, Any]:
    properties = {field.name: {"description": field.description, **json_type(field, _named)} for field in message.fields}
    return {"id": name, "type": "object", "description": message.description, "properties": properties}


def _named(kind: str) -> dict[str, Any]:
    if kind in MESSAGES:
        return {"$ref": kind}
    values = ENUMS[kind].values
    return {"type": "string", "enum": [name for name, _ in values], "enumDescriptions": [text for _, text in values]}
