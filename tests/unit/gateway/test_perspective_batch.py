"""Google's batch format, and batches through the API."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.gateway.contract import Outcome
from pipeline.gateway.perspective import choices
from pipeline.gateway.perspective.multipart import InnerResponse, boundary_of, inner_request, join_responses, split_parts
from schemas.jobs import TextJob
from tests.support.desk import FakeDesk
from tests.support.perspective import ANALYZE, Api, perspective_api

TYPE = 'multipart/mixed; boundary="=== b"'
BOUNDARY = b"=== b"


@pytest.fixture
def api(tmp_path: Path) -> Api:
    return perspective_api(tmp_path)


def body_of(text: str) -> str:
    """A call's body."""
    return json.dumps({"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}})


def part(content_id: str, body: str, target: str = ANALYZE, headers: str = "", method: str = "POST") -> str:
    """One part as Google's Python client writes it: lines end with LF alone."""
    outer = f"Content-Type: application/http\nMIME-Version: 1.0\nContent-Transfer-Encoding: binary\nContent-ID: {content_id}\n"
    return f"{outer}\n{method} {target} HTTP/1.1\nContent-Type: application/json\n{headers}Host: x\n\n{body}\n"


def batch_of(*parts: str) -> bytes:
    """The body of a batch."""
    return "".join(f"--=== b\n{one}" for one in parts).encode() + b"--=== b--\n"


def send(api: Api, body: bytes, content_type: str = TYPE, **query: str) -> httpx.Response:
    """The response to a batch."""
    with api.client() as client:
        return client.post("/batch", content=body, headers={"content-type": content_type}, params=query)


def answers(response: httpx.Response) -> list[tuple[str | None, int, dict[str, object]]]:
    """Of each part: Content-ID, status, body."""
    assert response.status_code == 200
    boundary = boundary_of(response.headers["content-type"])
    assert boundary is not None
    found = []
    for one in split_parts(response.content, boundary):
        head, status, body = one.decode().split("\r\n\r\n", 2)[0], *one.decode().split("\r\n\r\n", 2)[1:]
        ids = [line.removeprefix("Content-ID: ") for line in head.splitlines() if line.startswith("Content-ID: ")]
        found.append((ids[0] if ids else None, int(status.split()[1]), json.loads(body)))
    return found


def test_calls_are_answered_in_order_each_by_itself(api: Api) -> None:
    response = send(
        api,
        batch_of(
            part("<u + 1>", body_of("hello")),
            part("<u + 2>", body_of("idiot")),
            part("<u + a%20b>", body_of("")),
            part("<u + 4>", body_of("x"), target="/v1/moderations"),
            part("<u + 5>", body_of("x"), target="/prefix/v1alpha1/comments%3Aanalyze?key=k&fields=languages"),
            part("<u + 6>", "", target=ANALYZE, method="GET"),
            part("<é + 7>", "", target="http://[/é?key=%FF"),
        ),
    )

    first, second, empty, unknown, masked, get, odd = answers(response)
    assert first[:2] == ("<response-u + 1>", 200)
    assert second[:2] == ("<response-u + 2>", 200)
    assert second[2]["attributeScores"]["TOXICITY"]["summaryScore"]["value"] == 0.982  # type: ignore[index]
    assert empty[:2] == ("<response-u + a%20b>", 400)
    assert unknown[:2] == ("<response-u + 4>", 404)
    assert masked == ("<response-u + 5>", 200, {"languages": ["en"]})
    assert get[1] == 404
    assert odd[:2] == ("<response-é + 7>", 404)


def test_each_call_has_its_own_key_else_the_batchs(api: Api) -> None:
    api.gate.keys = {"a": "tenant-a", "b": "tenant-b", "c": "tenant-c"}
    parts = [
        part("<u + 1>", body_of("hello"), f"{ANALYZE}?key=a"),
        part("<u + 2>", body_of("you"), headers="X-Goog-Api-Key: b\n"),
        part("<u + 3>", body_of("friend")),
    ]

    statuses = [status for _, status, _ in answers(send(api, batch_of(*parts)))]
    with_key = [status for _, status, _ in answers(send(api, batch_of(parts[2]), key="c"))]

    assert (statuses, with_key) == ([200, 200, 403], [200])
    assert [job.tenant for job in api.desk.asked] == ["tenant-a", "tenant-b", "tenant-c"]


def test_a_bug_in_one_call_leaves_the_others_alone(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(FakeDesk):
        async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
            if jobs[0].text == "boom":
                raise RuntimeError("a bug")
            return await super().ask(jobs, wait_s)

    api.desk.ask = Broken().ask  # type: ignore[method-assign]
    statuses = [
        status
        for _, status, _ in answers(send(api, batch_of(part("<u + 1>", body_of("boom")), part("<u + 2>", body_of("hello")))))
    ]

    assert statuses == [500, 200]
    assert "a bug, in a call of a batch" in caplog.text


def test_a_long_batch_goes_to_the_desk_a_few_calls_at_a_time(api: Api) -> None:
    under_way, most = 0, 0
    ask = api.desk.ask

    async def counted(jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return await ask(jobs, wait_s)

    api.desk.ask = counted  # type: ignore[method-assign]
    found = answers(
        send(api, batch_of(*(part(f"<u + {number}>", body_of("hello")) for number in range(choices.BATCH_CALLS_MAX))))
    )

    assert [status for _, status, _ in found] == [200] * choices.BATCH_CALLS_MAX
    assert [content_id for content_id, _, _ in found] == [f"<response-u + {number}>" for number in range(choices.BATCH_CALLS_MAX)]
    assert 1 < most <= choices.BATCH_CONCURRENT_CALLS


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"", TYPE, "Failed to parse batch request, error: 0 items. Received batch body: (0) bytes redacted"),
        (b"hello", TYPE, "Failed to parse batch request, error: 0 items. Received batch body: (5) bytes redacted"),
        (
            batch_of("x"),
            "application/json",
            "Failed to parse batch request, error: 0 items. Received batch body: (19) bytes redacted",
        ),
        (batch_of(*["x\n"] * 1001), TYPE, "The batch request holds more than 1000 calls."),
    ],
)
def test_what_is_no_batch_is_refused_as_a_whole(api: Api, body: bytes, content_type: str, message: str) -> None:
    response = send(api, body, content_type)
    assert (response.status_code, response.json()["error"]["message"]) == (400, message)


def test_a_part_that_holds_no_request_is_not_found(api: Api) -> None:
    assert [(content_id, status) for content_id, status, _ in answers(send(api, batch_of("\nrubbish\n")))] == [(None, 404)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_request_is_read_whatever_ends_its_lines(line_end: str) -> None:
    text = part("<uuid +\n a-long-id>", '{"a":\n1}', headers="X-Goog-Api-Key:  k \n").replace("\n", line_end)
    found = inner_request(text.encode())

    assert found is not None
    assert (found.content_id, found.method, found.target) == ("<uuid + a-long-id>", "POST", ANALYZE)
    assert found.headers["x-goog-api-key"] == "k"
    assert json.loads(found.body) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b"--b\r\none\r\n--b\r\ntwo\r\n--b--\r\nepilogue", [b"one", b"two"]),
        (b"preamble\n--b\none\n--b--", [b"one"]),
        (b"--b\none", [b"one"]),  # nothing ends it
        (b"--b\none\n--bb\nstill\n--b--", [b"one\n--bb\nstill"]),
        (b"--b--", []),
        (b"", []),
    ],
)
def test_parts_lie_between_boundaries(body: bytes, parts: list[bytes]) -> None:
    assert list(split_parts(body, b"b")) == parts


@pytest.mark.parametrize(
    "content_type", ["", "multipart/mixed", "text/plain; boundary=b", f"multipart/mixed; boundary={'b' * 201}"]
)
def test_a_type_without_a_boundary_has_none(content_type: str) -> None:
    assert boundary_of(content_type) is None


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_part_is_a_request_or_none(data: bytes) -> None:
    found = inner_request(data)
    assert found is None or found.body in data


def test_responses_come_out_as_they_went_in() -> None:
    responses = [InnerResponse("<a + 1>", 200, {"x": "y"}, "{é}".encode()), InnerResponse(None, 422, {}, b"")]
    content_type, body = join_responses(responses)

    boundary = boundary_of(content_type)
    assert boundary is not None
    first, second = split_parts(body, boundary)
    assert (
        first
        == "Content-Type: application/http\r\nContent-ID: <response-a + 1>\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n\r\n{é}".encode()
    )
    assert second.startswith(b"Content-Type: application/http\r\n\r\nHTTP/1.1 422 ")
