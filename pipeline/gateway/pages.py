"""The documentation page: the OpenAPI document as plain HTML, made here. No script, nothing from elsewhere: it works offline.

Swagger's page would be loaded from a foreign server, by a browser that may hold an API key.
"""

import base64
import hashlib
import json
from collections.abc import Iterator
from html import escape
from typing import Any, Final

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#8882;padding:.7rem;overflow:auto;font-size:.85rem}code{font-family:ui-monospace,monospace}"
    "table{border-collapse:collapse}td,th{border:1px solid #8886;padding:.2rem .6rem;text-align:left;vertical-align:top}"
    "h2{margin-top:3rem;border-top:1px solid #8886;padding-top:1rem}summary{cursor:pointer}:root{color-scheme:light dark}"
)
_STYLE_SHA256: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = f"default-src 'none'; frame-ancestors 'none'; style-src 'sha256-{_STYLE_SHA256}'"
_METHODS: Final = ("get", "post", "put", "patch", "delete")


def documentation_page(document: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    operations = "".join(
        _operation(method, path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        f"{_text(document['info'].get('description', ''))}"
        '<p>For machines: <a href="openapi.json">openapi.json</a>.</p>'
        f"{operations}</body></html>"
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<h2><code>{method.upper()} {escape(path)}</code></h2>",
        f"<p><b>{escape(operation.get('summary', ''))}</b></p>",
        _text(operation.get("description", "")),
        _parameters(operation.get("parameters", [])),
    ]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body, <code>{escape(media)}</code>:</p>{''.join(_examples(content))}")
    parts.append("<table><tr><th>status</th><th>meaning</th></tr>")
    parts.extend(_response(status, response) for status, response in operation["responses"].items())
    return "".join([*parts, "</table>"])


def _parameters(parameters: list[dict[str, Any]]) -> str:
    if not parameters:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(parameter['name'])}</code></td><td>{escape(parameter['in'])}"
        f"{', required' if parameter.get('required') else ''}</td><td>{escape(parameter.get('description', ''))}</td></tr>"
        for parameter in parameters
    )
    return f"<table><tr><th>parameter</th><th>in</th><th>meaning</th></tr>{rows}</table>"


def _response(status: str, response: dict[str, Any]) -> str:
    examples = "".join(example for content in response.get("content", {}).values() for example in _examples(content))
    shown = f"<details><summary>examples</summary>{examples}</details>" if examples else ""
    return f"<tr><td>{escape(status)}</td><td>{escape(response.get('description', ''))}{shown}</td></tr>"


def _examples(content: dict[str, Any]) -> Iterator[str]:
    named = [example.get("value") for example in content.get("examples", {}).values()]
    schema = content.get("schema", {})
    for example in [*named, content.get("example"), *schema.get("examples", []), schema.get("example")]:
        if example is not None:
            text = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
            yield f"<pre>{escape(text)}</pre>"


def _text(markdown: str) -> str:
    """Paragraphs, as they are written: our descriptions read well as plain text."""
    return "".join(f"<p>{escape(paragraph)}</p>" for paragraph in markdown.split("\n\n") if paragraph.strip())
