"""The contracts as documents: valid, true to the golden files, and strict enough to refuse what the decoder refuses."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.export import export_schemas, schemas
from schemas.work import unpack
from tests.contract.samples import BULK, MESSAGES, WORK, golden

SCHEMAS = schemas()
SAMPLES = [
    *((schema, name) for name, (_, schema) in MESSAGES.items()),
    ("text-jobs", BULK),
    *(("work-description", name) for name in WORK),
]


def sample(name: str) -> Any:
    """The JSON in a golden file; of a work batch, its description."""
    if name in WORK:
        return json.loads(unpack(golden(name)).description.model_dump_json())
    return json.loads(golden(name))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every document, as written to a folder that was not there."""
    written = export_schemas(tmp_path_factory.mktemp("export") / "not" / "there")
    return {path.name: json.loads(path.read_text("utf-8")) for path in written}


@pytest.fixture
def asyncapi(exported: dict[str, Any]) -> dict[str, Any]:
    """The AsyncAPI document."""
    document = exported["asyncapi.json"]
    assert isinstance(document, dict)
    return document


def test_there_is_a_document_for_every_message_and_one_over_all(exported: dict[str, Any]) -> None:
    assert set(exported) == {f"{name}.schema.json" for name in SCHEMAS} | {"asyncapi.json"}
    assert {schema for schema, _ in SAMPLES} == set(SCHEMAS), "a golden file for each schema"


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_and_has_a_name_of_its_own(exported: dict[str, Any], name: str) -> None:
    schema = exported[f"{name}.schema.json"]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:llmos:schema:{name}:1"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize(("schema", "name"), SAMPLES)
def test_a_golden_file_fits_its_schema(schema: str, name: str) -> None:
    Draft202012Validator(SCHEMAS[schema]).validate(sample(name))


@pytest.mark.parametrize(("schema", "name"), [pair for pair in SAMPLES if pair[0] != "text-jobs"])
def test_a_schema_refuses_another_version_and_fields_it_does_not_know(schema: str, name: str) -> None:
    validator = Draft202012Validator(SCHEMAS[schema])
    assert not validator.is_valid({**sample(name), "version": 2})
    assert not validator.is_valid({**sample(name), "colour": "red"})
    assert not validator.is_valid([])
    assert not validator.is_valid(None)


@pytest.mark.parametrize(("schema", "name"), [pair for pair in SAMPLES if pair[0] != "text-jobs"])
def test_a_schema_refuses_a_message_without_a_required_field(schema: str, name: str) -> None:
    required = SCHEMAS[schema]["required"]
    assert required
    for field in required:
        rest = {key: value for key, value in sample(name).items() if key != field}
        assert not Draft202012Validator(SCHEMAS[schema]).is_valid(rest), field


@pytest.mark.parametrize(
    ("schema", "name", "field", "value"),
    [
        ("text-job", "text-job.json", "text", ""),
        ("text-job", "text-job.json", "text", 5),
        ("text-job", "text-job.json", "job_id", ""),
        ("text-job", "text-job.json", "job_id", "a" * 257),
        ("text-job", "text-job.json", "created_at", 1_764_000_000),
        ("text-job", "text-job.json", "deadline", 1_764_000_000),
        ("text-job", "text-job.json", "language", "english!"),
        ("text-job", "text-job.json", "reply_to", "no spaces"),
        ("text-job", "text-job.json", "metadata", ["a"]),
        ("text-jobs", BULK, "", []),
        ("text-jobs", BULK, "", [{"text": "a"}] * 501),
        ("text-jobs", BULK, "", [{"text": "a"}, {"txt": "b"}]),
        ("inference-result", "inference-result.json", "verdict", "perhaps"),
        ("inference-result", "inference-result.json", "signals", ["unknown"]),
        (
            "inference-result",
            "inference-result.json",
            "labels",
            [{"label": "a", "raw_score": 1.5, "score": 1, "over_threshold": True}],
        ),
        ("inference-result", "inference-result.json", "tokenizer_sha256", "short"),
        ("dead-letter", "dead-letter-of-job.json", "code", "bad_luck"),
        ("dead-letter", "dead-letter-of-job.json", "attempts", 0),
        ("dead-letter", "dead-letter-of-job.json", "source", {"topic": "t", "partition": -1, "offset": 0, "index": None}),
        ("policy", "policy.json", "labels", {"insult": {"block": 1.5}}),
        ("policy", "policy.json", "name", "../up"),
        ("policy", "policy.json", "unscored", "perhaps"),
        ("policy", "policy.json", "words", {"block": "a word"}),
        ("policy", "policy.json", "words", {"block": [""]}),
        ("policy", "policy.json", "words", {"block": {"file": "../up.txt"}}),
        ("policy", "policy.json", "words", {"forbid": []}),
        ("inference-result", "inference-result.json", "words", {"block": ["a word"]}),
        ("dead-letter", "dead-letter-of-job.json", "unscored_verdict", "hold"),
        ("bundle-manifest", "bundle-manifest.json", "release", "one"),
        ("bundle-manifest", "bundle-manifest.json", "labels", []),
        ("work-description", "work-batch.bin", "items", []),
    ],
)
def test_a_schema_refuses_a_bad_value(schema: str, name: str, field: str, value: Any) -> None:
    bad = {**sample(name), field: value} if field else value
    assert not Draft202012Validator(SCHEMAS[schema]).is_valid(bad)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (item for key, item in value.items() if key == "$ref")
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def _resolve(document: Any, reference: str) -> Any:
    assert reference.startswith("#/"), f"{reference} leaves the document"
    for step in reference[2:].split("/"):
        document = document[step.replace("~1", "/").replace("~0", "~")]
    return document


def test_every_reference_of_the_asyncapi_document_resolves_within_it(asyncapi: dict[str, Any]) -> None:
    references = set(_references(asyncapi))
    assert len(references) > 20
    for reference in references:
        assert isinstance(_resolve(asyncapi, reference), dict), reference
    with pytest.raises(KeyError):
        _resolve(asyncapi, "#/components/schemas/nothing")


def test_the_asyncapi_document_has_what_version_3_requires(asyncapi: dict[str, Any]) -> None:
    assert asyncapi["asyncapi"] == "3.0.0"
    assert asyncapi["info"]["title"]
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", asyncapi["info"]["version"])
    known = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert set(asyncapi) <= known
    assert set(asyncapi["components"]) == {"messages", "schemas"}
    names = [*asyncapi["components"]["messages"], *asyncapi["components"]["schemas"], *asyncapi["channels"]]
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]+", name) for name in names)


def test_a_channel_names_its_topic_its_messages_and_every_parameter(asyncapi: dict[str, Any]) -> None:
    assert {"jobs", "results", "flagged", "deadLetters", "replays", "replies", "work"} == set(asyncapi["channels"])
    for channel in asyncapi["channels"].values():
        assert channel["address"].startswith("llmos.")
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))
        for name, message in channel["messages"].items():
            assert message == {"$ref": f"#/components/messages/{name}"}


def test_an_operation_uses_messages_of_its_channel(asyncapi: dict[str, Any]) -> None:
    actions = {name: operation["action"] for name, operation in asyncapi["operations"].items()}
    assert actions.pop("jobs") == "receive"
    assert set(actions.values()) == {"send"}
    for operation in asyncapi["operations"].values():
        channel = operation["channel"]["$ref"]
        messages = {message["$ref"] for message in operation["messages"]}
        assert messages == {f"{channel}/messages/{name}" for name in _resolve(asyncapi, channel)["messages"]}


def test_a_json_message_carries_its_schema_and_the_binary_one_says_so(asyncapi: dict[str, Any]) -> None:
    messages = asyncapi["components"]["messages"]
    assert set(messages) == {*SCHEMAS, "work-batch"}
    for name in SCHEMAS:
        assert messages[name]["contentType"] == "application/json"
        assert messages[name]["payload"]["schemaFormat"] == "application/schema+json;version=draft-2020-12"
        assert messages[name]["payload"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
    assert messages["work-batch"]["contentType"] == "application/octet-stream"


@pytest.mark.parametrize(("schema", "name"), SAMPLES)
def test_a_schema_inside_the_document_is_valid_and_means_the_same(asyncapi: dict[str, Any], schema: str, name: str) -> None:
    inside = {"$ref": f"#/components/schemas/{schema}", "components": asyncapi["components"]}
    Draft202012Validator.check_schema(asyncapi["components"]["schemas"][schema])
    Draft202012Validator(inside).validate(sample(name))
    assert not Draft202012Validator(inside).is_valid([{"colour": "red"}])
