"""Requests made from the OpenAPI document, good and bad: no 500, no status or reply that the document does not know.

Of our own routes all checks of schemathesis are asked; of the dialects of others only that nothing breaks: there, what clients
rely on goes before what the document could say.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup

from tests.support.front import make_gateway

OWN = r"^(/v1/(jobs|models|policies)|/livez|/readyz)"
REPEATABLE = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same requests each time, and a few seconds for all of them."""


@pytest.fixture
def schema(tmp_path: Path) -> Any:
    """The document of a gateway; schemathesis starts and stops the app."""
    return schemathesis.openapi.from_asgi("/openapi.json", make_gateway(tmp_path).app)


def statuses(schema: Any, mode: schemathesis.GenerationMode, check: Callable[[Any], Any]) -> Counter[tuple[str, int]]:
    """How often each operation answered with each status, after `check` has found nothing wrong with any reply."""
    seen: Counter[tuple[str, int]] = Counter()
    for found in schema.get_all_operations():
        try:
            ask(found.ok(), mode, check, seen)
        except Unsatisfiable:  # an operation without parameters cannot be asked wrongly
            assert mode is schemathesis.GenerationMode.NEGATIVE
    return seen


def ask(operation: Any, mode: schemathesis.GenerationMode, check: Callable[[Any], Any], seen: Counter[tuple[str, int]]) -> None:
    """Ask one operation, again and again."""

    @REPEATABLE
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        seen[operation.label, check(case).status_code] += 1

    one()


def all_checks(case: Any) -> Any:
    """The reply, which must stand before every check there is."""
    return case.call_and_validate()


def no_server_error(case: Any) -> Any:
    """The reply, which must not be 500."""
    return case.call_and_validate(checks=[not_a_server_error])


def test_good_requests_to_our_routes_are_answered_as_documented(schema: Any) -> None:
    seen = statuses(schema.include(path_regex=OWN), schemathesis.GenerationMode.POSITIVE, all_checks)
    assert {status for _, status in seen} == {200, 202, 404, 409}
    assert seen["POST /v1/jobs", 200]
    assert seen["POST /v1/jobs", 202]


def test_bad_requests_to_our_routes_are_refused_as_documented(schema: Any) -> None:
    seen = statuses(schema.include(path_regex=OWN), schemathesis.GenerationMode.NEGATIVE, all_checks)
    assert seen["POST /v1/jobs", 400] > 10
    assert seen["GET /v1/jobs/events", 400] > 10


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_nothing_breaks_the_dialects_of_others(schema: Any, mode: schemathesis.GenerationMode) -> None:
    seen = statuses(schema.exclude(path_regex=OWN), mode, no_server_error)
    assert {label.split()[1].split("/")[1] for label, _ in seen} == {"v1", "v1alpha1"}


def test_the_checks_would_find_an_undocumented_status(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path)
    gateway.app.add_api_route("/v1/models/{model}/weights", lambda: None, status_code=299, methods=["GET"], responses={200: {}})
    gateway.app.openapi()["paths"]["/v1/models/{model}/weights"]["get"]["responses"].pop("299")
    narrowed = schemathesis.openapi.from_asgi("/openapi.json", gateway.app).include(path_regex="weights")
    with pytest.raises(FailureGroup, match="Undocumented status code"):
        statuses(narrowed, schemathesis.GenerationMode.POSITIVE, all_checks)
