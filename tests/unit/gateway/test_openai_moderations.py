"""/v1/moderations through the official client: every form of input, every way to fail."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import ModerationCreateResponse

from pipeline.gateway.contract import Late, Outcome, Overloaded, Unavailable
from pipeline.gateway.openai.categories import NAMES
from pipeline.gateway.openai.moderation_request import ALIASES, INPUTS_MAX
from schemas.jobs import TEXT_BYTES_MAX, TextJob
from tests.support.desk import HIGH, LOW, FakeDesk
from tests.support.openai_api import OpenAIApi, openai_api


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIApi]:
    with openai_api(tmp_path_factory.mktemp("gateway")) as api:
        yield api


@pytest.fixture
def api(served: OpenAIApi) -> OpenAIApi:
    return served.fresh()


def moderate(api: OpenAIApi, given: Any, **options: Any) -> ModerationCreateResponse:
    return api.client().moderations.create(input=given, **options)


def part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("given", "flagged"),
    [
        ("hello friend", [False]),
        ("you idiot", [True]),
        (["you idiot", "hello", "kill"], [True, False, True]),
        (["hello"], [False]),
        ([part("hello"), part("you idiot")], [True]),  # parts are one text
        ([part("hello")], [False]),
        ("你好", [False]),
        ("", [False]),
        (["", "idiot", " \n"], [False, True, False]),
        ([part("")], [False]),
    ],
)
def test_each_text_has_a_result_and_all_parts_together_have_one(api: OpenAIApi, given: Any, flagged: list[bool]) -> None:
    reply = moderate(api, given)
    assert [result.flagged for result in reply.results] == flagged
    assert reply.id.startswith("modr-")
    assert reply.model == "omni-moderation-latest"


def test_every_map_holds_all_thirteen_categories(api: OpenAIApi) -> None:
    result = api.client().moderations.with_raw_response.create(input="you idiot").http_response.json()["results"][0]
    assert list(result) == ["flagged", "categories", "category_scores", "category_applied_input_types"]
    assert all(list(result[name]) == list(NAMES) for name in result if name != "flagged")
    assert set(map(tuple, result["category_applied_input_types"].values())) == {("text",)}


def test_categories_and_scores_are_those_of_our_labels(api: OpenAIApi) -> None:
    result = moderate(api, "kill the vermin").results[0]
    found = {name for name, holds in result.categories.model_dump(by_alias=True).items() if holds and name in NAMES}
    assert found == {"harassment", "harassment/threatening", "hate", "hate/threatening", "violence"}
    assert (result.category_scores.hate, result.category_scores.sexual) == (HIGH, LOW)


@pytest.mark.parametrize("model", [*ALIASES, "toy"])
def test_every_name_of_openai_and_of_a_served_model_is_taken_and_comes_back(api: OpenAIApi, model: str) -> None:
    assert moderate(api, "hello", model=model).model == model


@pytest.mark.parametrize("empty", ["", "  ", ["", "\t"]])
def test_what_holds_nothing_scores_nothing_and_is_no_job(api: OpenAIApi, empty: Any) -> None:
    result = moderate(api, empty).results[0]
    assert set(result.category_scores.model_dump().values()) == {0.0}
    assert api.desk.asked == []


def test_many_texts_are_asked_at_once_for_the_callers_tenant(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.gate.keys = {"sk-anna": "anna"}
    calls: list[list[tuple[str, str]]] = []

    async def ask(desk: FakeDesk, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        calls.append([(job.text, job.tenant) for job in jobs])
        return await asked(desk, jobs, wait_s)

    asked = FakeDesk.ask
    monkeypatch.setattr(FakeDesk, "ask", ask)
    api.client("sk-anna").moderations.create(input=["a", "", "b"])
    assert calls == [[("a", "anna"), ("b", "anna")]]
    assert api.gate.spent == [0, 3]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ([], "input", "empty_array"),
        (["hello"] * (INPUTS_MAX + 1), "input", "array_above_max_length"),
        (["hello", 3], "input[1]", "invalid_type"),
        (["hello", part("hello")], "input[1]", "invalid_type"),
        ([part("hello"), "hello"], "input[1]", "invalid_type"),
        ([part("hello"), {"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}], "input[1]", "image_not_supported"),
        ([{"type": "audio"}], "input[0].type", "invalid_value"),
        ([{"type": "text"}], "input[0].text", "invalid_type"),
        ([3], "input[0]", "invalid_type"),
        (3, "input", "invalid_type"),
        ({"text": "hello"}, "input", "invalid_type"),
        (None, "input", "missing_required_parameter"),
        ("字" * (TEXT_BYTES_MAX // 3 + 1), "input", "string_above_max_length"),
        (["hello", "a" * (TEXT_BYTES_MAX + 1)], "input[1]", "string_above_max_length"),
    ],
)
def test_a_wrong_input_is_a_bad_request_that_names_the_place(api: OpenAIApi, given: Any, param: str, code: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        moderate(api, given)
    assert (caught.value.param, caught.value.code, caught.value.type) == (param, code, "invalid_request_error")
    assert api.desk.asked == []


@pytest.mark.parametrize(
    ("body", "param"),
    [({"model": "gpt-9"}, "model"), ({"model": 3}, "model"), ({"stream": True}, "stream")],
)
def test_another_wrong_parameter_is_named_too(api: OpenAIApi, body: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        moderate(api, "hello", extra_body=body)
    assert caught.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b'{"input": "\\ud800"}', b"[" * 500, b'"hello"', b"\xff"])
def test_a_body_that_is_no_json_object_is_a_bad_request(api: OpenAIApi, body: bytes) -> None:
    with pytest.raises(openai.BadRequestError):
        api.client().post("/moderations", cast_to=object, content=body, options={"headers": {"content-type": "application/json"}})


@pytest.mark.parametrize(("given", "param"), [("BURY", "input"), (["hello", "BURY"], "input[1]"), ([part("BURY")], "input")])
def test_a_dead_letter_is_422_with_its_code_and_its_place(api: OpenAIApi, given: Any, param: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        moderate(api, given)
    assert (caught.value.param, caught.value.code) == (param, "empty_text")


@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Unavailable("away"), openai.InternalServerError),
        (Late(["a"]), openai.InternalServerError),
        (Overloaded(2), openai.RateLimitError),
    ],
)
def test_trouble_of_the_desk_is_the_error_that_the_client_knows(
    api: OpenAIApi, failure: Exception, raised: type[openai.APIStatusError]
) -> None:
    api.desk.failure = failure
    with pytest.raises(raised):
        moderate(api, "hello")


def test_who_shows_no_known_key_learns_nothing_about_his_body(api: OpenAIApi) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        api.client("sk-unknown").moderations.create(input=[])
    assert caught.value.code == "invalid_api_key"


def test_more_texts_than_the_key_may_send_is_a_rate_limit_error(api: OpenAIApi) -> None:
    api.gate.texts_left = 2
    with pytest.raises(openai.RateLimitError):
        moderate(api, ["a", "b", "c"])
    assert moderate(api, ["a", "b"]).results
    assert [job.text for job in api.desk.asked] == ["a", "b"]


def test_the_client_itself_waits_out_a_passing_trouble(tmp_path: Path) -> None:
    desk = OnceBusyDesk()
    with openai_api(tmp_path, desk=desk) as api:
        assert api.client(max_retries=1).moderations.create(input="hello").results
    assert desk.busy == 0


class OnceBusyDesk(FakeDesk):
    """Turns the first request away."""

    busy = 1

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        if self.busy:
            self.busy -= 1
            raise Overloaded(0.01)
        return await super().ask(jobs, wait_s)


def test_the_asynchronous_client_works_the_same(api: OpenAIApi) -> None:
    async def ask() -> list[bool]:
        async with openai.AsyncOpenAI(base_url=f"{api.address}/v1", api_key=api.key, max_retries=0) as client:
            replies = await asyncio.gather(*(client.moderations.create(input=text) for text in ("hello", "you idiot") * 10))
        return [reply.results[0].flagged for reply in replies]

    assert asyncio.run(ask()) == [False, True] * 10
