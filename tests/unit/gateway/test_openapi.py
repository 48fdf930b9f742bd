"""The OpenAPI document and its page: complete, true to what the code does, and readable without a network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.gateway.jobs.examples import BODIES, body_schema
from tests.support.front import make_gateway

OWN = (
    "/v1/jobs",
    "/v1/jobs/{job_id}",
    "/v1/jobs/events",
    "/v1/models",
    "/v1/models/{model}",
    "/v1/policies",
    "/livez",
    "/readyz",
)
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with make_gateway(tmp_path_factory.mktemp("gateway")).client() as client:
        found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation, with its method and path."""
    for path, item in document["paths"].items():
        yield from ((method, path, item[method]) for method in METHODS if method in item)


def test_every_part_is_there(document: dict[str, Any]) -> None:
    known = set(document["paths"])
    assert known >= set(OWN)
    assert known >= {"/v1/moderations", "/v1/files", "/v1/batches", "/v1alpha1/comments:analyze"}


def test_every_operation_explains_itself(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        assert operation.get("summary"), f"{method} {path}"
        for status, response in operation["responses"].items():
            assert response["description"], f"{method} {path} {status}"
    for path in OWN:
        for parameter in next(iter(document["paths"][path].values())).get("parameters", []):
            assert parameter["description"]


def test_what_needs_a_key_says_so(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        expected = [{"HTTPBearer": []}, {}] if path.startswith("/v1/") else None
        expected = [{"key": []}, {}] if path.startswith("/v1alpha1") else expected
        assert operation.get("security") == expected, path
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "key"}


def test_every_reference_leads_somewhere_and_nothing_of_fastapi_is_left(document: dict[str, Any]) -> None:
    written = json.dumps(document)
    references = set(re.findall(r'"\$ref": "(#[^"]+)"', written))
    assert references
    for reference in references:
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]
    assert "HTTPValidationError" not in written


def test_no_parameter_of_ours_may_be_null(document: dict[str, Any]) -> None:
    for _, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert "null" not in json.dumps(parameter["schema"]), path


def test_only_statuses_of_the_contract_are_documented(document: dict[str, Any]) -> None:
    allowed = {"200", "202", "400", "401", "403", "404", "405", "409", "413", "415", "422", "429", "503", "504"}
    for _, path, operation in operations(document):
        if path in OWN:
            assert set(operation["responses"]) <= allowed, path


def examples(content: dict[str, Any]) -> list[Any]:
    """All of a media type."""
    return [
        *([content["example"]] if "example" in content else []),
        *(one["value"] for one in content.get("examples", {}).values()),
    ]


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    checked = 0
    for method, path, operation in operations(document):
        if path not in OWN:
            continue
        for status, response in operation["responses"].items():
            content = response["content"]["application/json"]
            schema = {**content["schema"], "components": document["components"]}
            assert examples(content), f"{method} {path} {status}"
            for example in examples(content):
                jsonschema.validate(example, schema)
                checked += 1
    assert checked > 30
    for example in BODIES.values():
        jsonschema.validate(example["value"], body_schema())


@pytest.mark.parametrize(
    "body", [{}, {"text": ""}, {"text": "a", "tenant": "b"}, {"jobs": []}, {"jobs": [{"text": "a"}], "text": "a"}]
)
def test_the_schema_of_a_body_refuses_what_the_code_refuses(body: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, body_schema())


def test_the_page_shows_every_operation_and_loads_nothing(tmp_path: Path, document: dict[str, Any]) -> None:
    with make_gateway(tmp_path).client() as client:
        reply = client.get("/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    for method, path, _ in operations(document):
        assert f"{method.upper()} {path}" in reply.text
    assert not re.search(
        r"<(script|img|link|iframe)|https?://|@import|url\(", re.sub(r"<pre>.*?</pre>", "", reply.text, flags=re.DOTALL)
    )
    assert "style-src 'sha256-" in reply.headers["content-security-policy"]
