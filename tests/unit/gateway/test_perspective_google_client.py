"""Google's own Python client, unmodified, against our discovery document."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError, UnknownApiNameOrVersion
from httplib2 import Http

from pipeline.gateway.perspective.discovery import discovery_document, root_url
from pipeline.settings import Settings
from tests.support.http_server import serving
from tests.support.perspective import Api, perspective_api


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Api]]:
    """The API on loopback, and what stands behind it."""
    api = perspective_api(tmp_path_factory.mktemp("api"))
    with serving(api.app) as address:
        yield address, api


def service(address: str, key: str | None = "any", **options: Any) -> Any:
    """The client as its users build it."""
    url = f"{address}/$discovery/rest?version=v1alpha1"
    options = {"discoveryServiceUrl": url, "developerKey": key, "cache_discovery": False, "static_discovery": False, **options}
    return build("commentanalyzer", "v1alpha1", **options)


def analyze(text: str, *attributes: str, **more: object) -> dict[str, Any]:
    return {"comment": {"text": text}, "requestedAttributes": {name: {} for name in attributes or ("TOXICITY",)}, **more}


@pytest.mark.parametrize("key", ["any", None])
def test_a_comment_is_scored(served: tuple[str, Api], key: str | None) -> None:
    with service(served[0], key) as client:
        answer = client.comments().analyze(body=analyze("you idiot 😀 杀", "TOXICITY", "THREAT")).execute()

    assert answer["attributeScores"]["THREAT"]["summaryScore"] == {"value": 0.982, "type": "PROBABILITY"}
    assert answer["attributeScores"]["TOXICITY"]["spanScores"][0]["end"] == 14


def test_fields_and_suggestions_work(served: tuple[str, Api]) -> None:
    with service(served[0]) as client:
        part = client.comments().analyze(body=analyze("hello"), fields="languages").execute()
        body = {"comment": {"text": "x"}, "attributeScores": {"TOXICITY": {"summaryScore": {"value": 1}}}, "clientToken": "c"}
        suggested = client.comments().suggestscore(body=body).execute()

    assert part == {"languages": ["en"]}
    assert suggested["clientToken"] == "c"


def test_an_error_is_an_http_error_with_the_known_reason(served: tuple[str, Api]) -> None:
    with service(served[0]) as client, pytest.raises(HttpError) as raised:
        client.comments().analyze(body=analyze("hello", languages=["fr"])).execute()

    assert raised.value.status_code == 400
    assert raised.value.reason == "Attribute TOXICITY does not support request languages: fr"
    assert raised.value.error_details[0]["errorType"] == "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"
    assert "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE" in str(raised.value)


def test_a_batch_comes_back_call_by_call(served: tuple[str, Api]) -> None:
    answers: dict[str, Any] = {}

    def note(name: str, response: Any, error: HttpError | None) -> None:
        answers[name] = error.reason if error else response["attributeScores"]["TOXICITY"]["summaryScore"]["value"]

    with service(served[0]) as client:
        batch = client.new_batch_http_request(callback=note)
        batch.add(client.comments().analyze(body=analyze("hello")), request_id="first")
        batch.add(
            client.comments().analyze(body=analyze("")), request_id="a name with spaces, é, and more than a line of mail may have"
        )
        batch.add(client.comments().analyze(body=analyze("you\nidiot\r\n\r\n--==", spanAnnotations=True)), request_id="third")
        batch.execute()

    assert list(answers.values()) == [0.018, "Comment must be non-empty.", 0.982]


def test_keys_are_asked_from_discovery_on(served: tuple[str, Api]) -> None:
    address, api = served
    api.gate.keys = {"good": "tenant"}
    try:
        with service(address, "good") as client:
            assert client.comments().analyze(body=analyze("hello")).execute()
        with closing(Http()) as http, pytest.raises(HttpError, match="API key not valid") as raised:
            service(address, "bad", http=http)
        with service(address, None) as client, pytest.raises(HttpError, match="unregistered callers"):
            client.comments().analyze(body=analyze("hello")).execute()
    finally:
        api.gate.keys = {}
    assert raised.value.status_code == 400


def test_another_version_is_unknown(served: tuple[str, Api]) -> None:
    with closing(Http()) as http, pytest.raises(UnknownApiNameOrVersion):  # a client that fails so leaves its own open
        service(served[0], discoveryServiceUrl=f"{served[0]}/$discovery/rest?version=v2", http=http)


@pytest.mark.parametrize(
    "path", ["/$discovery/rest", "/%24discovery/rest?version=v1alpha1", "/$discovery/rest?prettyPrint=false"]
)
def test_the_document_sends_clients_to_where_they_found_it(served: tuple[str, Api], path: str) -> None:
    document = httpx.get(served[0] + path).json()

    assert document["rootUrl"] == document["baseUrl"] == f"{served[0]}/"
    assert (document["servicePath"], document["batchPath"]) == ("", "batch")
    assert "auth" not in document, "Google's client would look for Google's credentials"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = discovery_document("https://example.com/")
    names = [part.split('"')[0] for part in json.dumps(document).split('"$ref": "')[1:]]
    assert set(names) <= set(document["schemas"])
    assert {"AnalyzeCommentRequest", "TextEntry", "Score"} <= set(names)


@pytest.mark.parametrize(
    ("public", "headers", "root"),
    [
        (None, {"host": "gw:8080"}, "http://gw:8080/"),
        (None, {"host": "gw", "x-forwarded-proto": "https"}, "https://gw/"),
        (None, {"host": "gw", "x-forwarded-proto": "https, http", "x-forwarded-host": "example.com, gw"}, "https://example.com/"),
        (None, {"host": "[::1]:80"}, "http://[::1]:80/"),
        (None, {"host": 'evil/"path', "x-forwarded-proto": "javascript"}, "http://127.0.0.1/"),
        (None, {}, "http://127.0.0.1/"),
        ("https://example.com/llmos", {"host": "gw"}, "https://example.com/llmos/"),
    ],
)
def test_the_address_is_the_set_one_or_the_callers(public: str | None, headers: dict[str, str], root: str) -> None:
    assert root_url(public, headers, scheme="http") == root


def test_a_public_address_goes_into_the_document(tmp_path: Path) -> None:
    api = perspective_api(tmp_path, settings=Settings(http_public_url="https://example.com/llmos"))
    with api.client() as client:
        assert client.get("/$discovery/rest").json()["rootUrl"] == "https://example.com/llmos/"
