"""What the part says of itself in the OpenAPI document."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pipeline.gateway.contract import Context
from pipeline.gateway.openai.part import openai_part
from pipeline.settings import Settings
from tests.support.desk import FakeDesk
from tests.support.openai_api import app_of, toy
from tests.support.perspective import FakeGate

OPERATIONS = {
    "createModeration": {"200", "400", "401", "413", "422", "429", "503", "504"},
    "createFile": {"200", "400", "401", "413", "429", "503"},
    "listFiles": {"200", "400", "401", "429", "503"},
    "retrieveFile": {"200", "400", "401", "404", "429", "503"},
    "downloadFile": {"200", "400", "401", "404", "429", "503"},
    "deleteFile": {"200", "400", "401", "404", "429", "503"},
    "createBatch": {"200", "400", "401", "413", "429", "503"},
    "listBatches": {"200", "400", "401", "429", "503"},
    "retrieveBatch": {"200", "400", "401", "404", "429", "503"},
    "cancelBatch": {"200", "400", "401", "404", "409", "429", "503"},
}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("gateway")
    return app_of(openai_part(Context(Settings(), FakeDesk(), FakeGate(), folder, dict, [toy(folder)]))).openapi()


def operations(document: dict[str, Any]) -> dict[str, Any]:
    return {operation["operationId"]: operation for item in document["paths"].values() for operation in item.values()}


def test_each_operation_names_the_statuses_that_it_may_end_in(document: dict[str, Any]) -> None:
    found = operations(document)
    assert set(found) == set(OPERATIONS)
    for name, statuses in OPERATIONS.items():
        assert set(found[name]["responses"]) - {"422"} == statuses - {"422"}, name


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "downloadFile"])
def test_each_example_is_what_the_schema_says(document: dict[str, Any], name: str) -> None:
    content = operations(document)[name]["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(content["example"], {**content["schema"], "components": document["components"]})


def test_each_link_leads_to_an_operation(document: dict[str, Any]) -> None:
    found = operations(document)
    links = [link for one in found.values() for link in one["responses"]["200"].get("links", {}).values()]
    assert len(links) == 6
    assert all(link["operationId"] in found for link in links)


def test_making_the_part_touches_nothing_but_its_folder(tmp_path: Path) -> None:
    context = Context(Settings(), FakeDesk(), FakeGate(), tmp_path / "gateway", dict, [toy(tmp_path)])
    context.folder.mkdir()
    openai_part(context)
    assert [path.name for path in context.folder.rglob("*")] == ["openai"]
