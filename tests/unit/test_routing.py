"""Routing: the first route that fits takes the job, and a bad table stops the start."""

from pathlib import Path

import pytest

from pipeline.routing import RoutingTable, load_routes
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.errors import ConfigurationError, MessageError

ROUTES = """
[[routes]]
task = "moderation"
language = ["zh"]
tenant = ["acme", "other"]
model = "acme-zh"

[[routes]]
task = "moderation"
language = ["en", "zh"]
model = "general"

[[routes]]
task = "moderation"
tenant = ["acme"]
model = "acme-rest"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the table stands."""
    return tmp_path / "routes.toml"


def load(file: Path, content: str | bytes) -> RoutingTable:
    """The table with this content."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_routes(file)


@pytest.mark.parametrize(
    ("language", "tenant", "model"),
    [
        ("zh", "acme", "acme-zh"),
        ("zh", "other", "acme-zh"),
        ("zh", "third", "general"),
        ("en", "acme", "general"),  # the first that fits, not the best
        ("en", "third", "general"),
        ("fr", "acme", "acme-rest"),
        ("und", "acme", "acme-rest"),
    ],
)
def test_the_first_route_that_fits_wins(file: Path, language: str, tenant: str, model: str) -> None:
    assert load(file, ROUTES).model("moderation", language, tenant) == model


@pytest.mark.parametrize(
    ("task", "language", "tenant", "code", "path"),
    [
        ("moderation", "fr", "third", Code.NO_ROUTE, ""),
        ("moderation", "ZH", "third", Code.NO_ROUTE, ""),
        ("poetry", "en", "acme", Code.UNKNOWN_TASK, "task"),
        ("", "en", "acme", Code.UNKNOWN_TASK, "task"),
        ("Moderation", "en", "acme", Code.UNKNOWN_TASK, "task"),
    ],
)
def test_a_job_that_no_route_takes_is_a_message_error(
    file: Path, task: str, language: str, tenant: str, code: Code, path: str
) -> None:
    with pytest.raises(MessageError) as caught:
        load(file, ROUTES).model(task, language, tenant)
    assert (caught.value.code, caught.value.path) == (code, path)


def test_a_table_knows_its_models(file: Path) -> None:
    assert load(file, ROUTES).models == {"acme-zh", "general", "acme-rest"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "routes"),
        ("routes = []", "routes"),
        ("[[routes]]\nmodel = 'a'", "routes.0.task"),
        ("[[routes]]\ntask = 'moderation'", "routes.0.model"),
        ("[[routes]]\ntask = 'poetry'\nmodel = 'a'", "routes.0.task"),
        ("[[routes]]\ntask = 'moderation'\nmodel = 'a'\nlanguages = ['en']", "routes.0.languages"),
        ("[[routes]]\ntask = 'moderation'\nmodel = 'a'\nlanguage = 'en'", "routes.0.language"),
        ("[[routes]", "line 1"),
        (b"\xff", "utf-8"),
    ],
)
def test_a_bad_table_is_named_with_what_is_wrong(file: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(file, content)
    assert str(file) in str(caught.value)
    assert said in str(caught.value)


def test_a_missing_table_is_named(file: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"routes\.toml"):
        load_routes(file)


def test_the_table_that_comes_with_the_product_is_good() -> None:
    table = load_routes(Settings().routes_file)
    assert table.model("moderation", "und", "anybody") in table.models
