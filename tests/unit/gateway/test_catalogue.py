"""Models as OpenAI's clients list them, and the caller's own policy."""

from pathlib import Path

import pytest

from tests.support.front import Gateway, make_gateway
from tests.support.http_server import serving
from tests.support.openai_api import openai
from tests.support.toy import LABELS


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


def test_the_official_client_lists_and_finds_models(gateway: Gateway) -> None:
    key = gateway.key()
    with (
        serving(gateway.app) as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client,
    ):
        assert [model.id for model in client.models.list()] == ["toy"]
        assert client.models.retrieve("toy").owned_by == "llmos"
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve("gpt-none")
    assert error.value.code == "model_not_found"


def test_a_model_tells_its_labels_release_and_languages(gateway: Gateway) -> None:
    with gateway.client() as client:
        model = client.get("/v1/models/toy").json()
        assert client.get("/v1/models").json() == {"object": "list", "data": [model]}
    assert (model["release"], model["languages"], model["task"]) == ("1.0.0", ["en", "zh"], "moderation")
    assert [label["name"] for label in model["labels"]] == list(LABELS)


def test_a_caller_sees_its_own_policy_alone(gateway: Gateway) -> None:
    with gateway.client(gateway.key("acme")) as client:
        (policy,) = client.get("/v1/policies").json()["data"]
    assert policy["name"] == "default"  # the file that stands for both tenants here
    assert policy["labels"]["toxicity"] == {"review": 0.5, "block": 0.9}
    assert len(policy["sha256"]) == 64


def test_a_name_that_is_no_model_is_404_and_cut(gateway: Gateway) -> None:
    with gateway.client() as client:
        reply = client.get("/v1/models/" + "x" * 1_000)
    assert reply.status_code == 404
    assert len(reply.text) < 300
