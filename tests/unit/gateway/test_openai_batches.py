"""/v1/batches through the official client: from the upload to the output, and everything that may come between."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from pipeline.gateway.contract import Outcome, Unavailable
from pipeline.gateway.openai import batch_store, runner, validation
from pipeline.gateway.openai.text_store import TextStore
from schemas.jobs import TextJob
from tests.support.desk import outcome_of
from tests.support.openai_api import OpenAIApi, jsonl, line, openai_api
from tests.support.waiting import wait_until

IMAGE = [{"type": "image_url", "image_url": {"url": "https://a.b/c.png"}}]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIApi]:
    with openai_api(tmp_path_factory.mktemp("gateway")) as api:
        yield api


@pytest.fixture
def api(served: OpenAIApi) -> OpenAIApi:
    return served.fresh()


def held(api: OpenAIApi, count: int) -> None:
    """As many jobs wait for their outcome."""
    wait_until(lambda: len(api.desk.waiting) == count, lambda: f"{count} jobs, but {len(api.desk.waiting)}")


def test_a_batch_goes_from_its_file_to_its_output(api: OpenAIApi) -> None:
    created = api.batch_of(["hello", ["you idiot", "", "hello"]], metadata={"day": "Monday"})
    assert (created.object, created.status, created.endpoint) == ("batch", "validating", "/v1/moderations")
    assert (created.expires_at, created.errors, created.output_file_id) == (created.created_at + 86_400, None, None)
    batch = api.reached(created)
    assert (batch.status, batch.error_file_id, batch.metadata) == ("completed", None, {"day": "Monday"})
    assert batch.request_counts == openai.types.BatchRequestCounts(total=2, completed=2, failed=0)
    assert created.created_at <= (batch.in_progress_at or 0) <= (batch.finalizing_at or 0) <= (batch.completed_at or 0)
    first, second = api.lines_of(batch.output_file_id)
    assert (first["custom_id"], first["error"], first["response"]["status_code"]) == ("line-1", None, 200)
    assert first["id"].startswith("batch_req_")
    assert [result["flagged"] for result in second["response"]["body"]["results"]] == [True, False, False]


def test_an_output_line_is_what_the_request_itself_would_be_answered(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["kill the vermin"]))
    body = api.lines_of(batch.output_file_id)[0]["response"]["body"]
    asked = api.client().moderations.with_raw_response.create(input="kill the vermin").http_response.json()
    assert {**body, "id": ""} == {**asked, "id": ""}


def test_lines_that_fail_go_to_the_error_file_as_the_errors_they_would_be(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["hello", "BURY", ["hello", "BURY"], [], IMAGE, {**line("x", 6), "body": {}}]))
    assert batch.request_counts == openai.types.BatchRequestCounts(total=6, completed=1, failed=5)
    assert [found["custom_id"] for found in api.lines_of(batch.output_file_id)] == ["line-1"]
    errors = api.lines_of(batch.error_file_id)
    assert {found["error"] for found in errors} == {None}
    assert [
        (found["custom_id"], found["response"]["status_code"], found["response"]["body"]["error"]["param"]) for found in errors
    ] == [
        ("line-2", 422, "input"),
        ("line-3", 422, "input[1]"),
        ("line-4", 400, "input"),
        ("line-5", 400, "input[0]"),
        ("line-6", 400, "input"),
    ]
    assert errors[0]["response"]["body"]["error"]["code"] == "empty_text"


def test_where_all_lines_fail_the_batch_is_completed_without_an_output(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["BURY", IMAGE]))
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert len(api.lines_of(batch.error_file_id)) == 2


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], [("empty_file", None)]),
        ([b"", b"  "], [("empty_file", None)]),
        (["hello", b"{"], [("invalid_json_line", 2)]),
        ([b"", line("a"), line("b")], [("duplicate_custom_id", 3)]),
        ([line("a", url="/v1/embeddings"), line("b", 2, body={"model": "m"}), "c"], [("url_mismatch", 1), ("model_mismatch", 3)]),
        ([line("a", custom_id=None)], [("missing_required_parameter", 1)]),
        ([b"{"] * 300, [("invalid_json_line", number) for number in range(1, validation.FAULTS_MAX + 1)]),
    ],
)
def test_a_file_with_a_fault_fails_as_a_whole_and_asks_nothing(
    api: OpenAIApi, lines: list[Any], found: list[tuple[str, int | None]]
) -> None:
    batch = api.reached(api.batch_of(lines))
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("failed", None, None)
    assert batch.errors
    assert [(error.code, error.line) for error in batch.errors.data or []] == found
    assert batch.failed_at
    assert api.desk.asked == []


def test_more_texts_than_a_batch_may_ask_fail_it(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "LINES_MAX", 10)
    assert api.reached(api.batch_of([["a"] * 6, ["b"] * 4])).status == "completed"
    batch = api.reached(api.batch_of([["a"] * 6, ["b"] * 5, "c"]))
    assert [error.code for error in (batch.errors and batch.errors.data) or []] == ["too_many_tasks"]


def test_a_batch_whose_output_would_not_fit_fails(tmp_path: Path) -> None:
    with openai_api(tmp_path, gateway_files_bytes_max=20_000) as api:
        assert api.reached(api.batch_of(["hello"] * 2)).status == "completed"
        batch = api.reached(api.batch_of(["hello"] * 20))
        assert [error.code for error in (batch.errors and batch.errors.data) or []] == ["storage_limit_exceeded"]
        assert api.reached(api.batch_of(["hello"] * 2)).status == "completed"  # what it had reserved is free again


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"endpoint": "/v1/chat/completions"}, "endpoint"),
        ({"endpoint": None}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"input_file_id": "file-unknown"}, "input_file_id"),
        ({"input_file_id": 3}, "input_file_id"),
        ({"metadata": {str(number): "" for number in range(17)}}, "metadata"),
        ({"metadata": {"day": "x" * 513}}, "metadata.day"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
    ],
)
def test_a_wrong_parameter_is_a_bad_request_at_once(api: OpenAIApi, changes: dict[str, Any], param: str) -> None:
    file = api.client().files.create(file=("in.jsonl", jsonl(["hello"])), purpose="batch")
    asked = {"input_file_id": file.id, "endpoint": "/v1/moderations", "completion_window": "24h", **changes}
    with pytest.raises(openai.BadRequestError) as caught:
        api.client().batches.create(**asked)
    assert caught.value.param == param


def test_an_output_of_another_batch_is_no_input(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["hello"]))
    with pytest.raises(openai.BadRequestError) as caught:
        api.client().batches.create(input_file_id=str(batch.output_file_id), endpoint="/v1/moderations", completion_window="24h")
    assert caught.value.param == "input_file_id"


def test_a_cancelled_batch_keeps_what_is_done_and_says_what_is_not(api: OpenAIApi) -> None:
    api.desk.held = True
    created = api.batch_of(["hello", ["idiot", "hello"], "BURY", "friend"])
    held(api, 5)
    sink, jobs = api.part.sinks[0], api.desk.waiting
    sink.take([outcome_of(job) for job in (jobs[0], jobs[1], jobs[3])])
    assert api.client().batches.cancel(created.id).status in {"cancelling", "cancelled"}
    batch = api.reached(created)
    assert (batch.status, bool(batch.cancelling_at and batch.cancelled_at)) == ("cancelled", True)
    assert batch.request_counts == openai.types.BatchRequestCounts(total=4, completed=1, failed=1)
    assert [found["custom_id"] for found in api.lines_of(batch.output_file_id)] == ["line-1"]
    errors = {found["custom_id"]: found for found in api.lines_of(batch.error_file_id)}
    assert [errors[f"line-{number}"]["error"] and errors[f"line-{number}"]["error"]["code"] for number in (2, 3, 4)] == [
        "batch_cancelled",
        None,
        "batch_cancelled",
    ]
    assert errors["line-2"]["response"] is None
    api.desk.release()  # what comes too late changes nothing
    assert api.client().batches.retrieve(created.id) == batch


def test_a_batch_can_be_cancelled_again_while_it_is_not_at_its_end(api: OpenAIApi) -> None:
    api.desk.held = True
    created = api.batch_of(["hello"] * 3)
    held(api, 3)
    for _ in range(20):
        try:
            assert api.client().batches.cancel(created.id).status in {"cancelling", "cancelled"}
        except openai.ConflictError:  # it was quicker
            break
    batch = api.reached(created)
    assert (batch.status, len(api.lines_of(batch.error_file_id))) == ("cancelled", 3)


def test_a_batch_is_cancelled_also_while_its_file_is_read(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, going_on = threading.Event(), threading.Event()
    add = TextStore.add

    def add_slowly(*arguments: Any, **options: Any) -> None:
        reading.set()
        assert going_on.wait(10)
        add(*arguments, **options)

    monkeypatch.setattr(TextStore, "add", add_slowly)
    created = api.batch_of(["hello"])
    assert reading.wait(10)
    assert api.client().batches.cancel(created.id).status == "cancelling"
    going_on.set()
    batch = api.reached(created)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert api.desk.asked == []


def test_a_batch_at_its_end_cannot_be_cancelled_and_clients_do_not_insist(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["hello"]))
    with pytest.raises(openai.ConflictError) as caught:
        api.client(max_retries=5).batches.cancel(batch.id)
    assert caught.value.body == {
        "message": "Cannot cancel a batch with status 'completed'.",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_batch_that_runs_out_of_time_keeps_what_is_done(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_store, "WINDOW_S", 2)
    api.desk.held = True
    created = api.batch_of(["hello", "friend"])
    held(api, 2)
    api.part.sinks[0].take([outcome_of(api.desk.waiting[0])])
    batch = api.reached(created)
    assert (batch.status, bool(batch.expired_at)) == ("expired", True)
    assert len(api.lines_of(batch.output_file_id)) == 1
    assert api.lines_of(batch.error_file_id)[0]["error"] == {
        "code": "batch_expired",
        "message": "This request could not be executed before the completion window expired.",
    }


def test_a_batch_waits_out_that_kafka_is_away(api: OpenAIApi) -> None:
    api.desk.failure = Unavailable("away")
    created = api.batch_of(["hello"])
    api.reached(created, {"in_progress"})
    assert api.part.sinks[0].waiting() == []
    api.desk.failure = None
    assert api.reached(created).status == "completed"


def test_jobs_that_a_broker_has_lost_are_handed_over_again(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SILENCE_S", 0.2)
    api.desk.held = True
    created = api.batch_of(["hello"])
    held(api, 1)
    lost = api.desk.waiting.pop()
    held(api, 1)
    assert api.desk.waiting[0] == lost
    api.desk.release()
    assert api.reached(created).status == "completed"


def test_a_batch_under_way_reads_its_file_also_when_that_is_deleted(api: OpenAIApi) -> None:
    api.desk.held = True
    created = api.batch_of(["hello"])
    held(api, 1)
    api.client().files.delete(created.input_file_id)
    with pytest.raises(openai.NotFoundError):
        api.client().files.content(created.input_file_id)
    api.desk.release()
    assert api.reached(created).status == "completed"


def test_a_batch_that_loses_its_file_fails_and_says_so(api: OpenAIApi) -> None:
    api.desk.held = True
    created = api.batch_of(["hello"])
    held(api, 1)
    (api.folder / "openai" / "files" / created.input_file_id).unlink()
    api.desk.release()
    batch = api.reached(created)
    assert [error.code for error in (batch.errors and batch.errors.data) or []] == ["file_not_found"]


def test_lists_are_read_page_by_page_the_newest_first(api: OpenAIApi) -> None:
    ids = [api.batch_of(["hello"]).id for _ in range(5)]
    client = api.client()
    assert sorted(batch.id for batch in client.batches.list(limit=2)) == sorted(ids)
    assert [batch.id for batch in client.batches.list()] == sorted(ids, reverse=True)
    assert (client.batches.list(limit=2).has_more, client.batches.list(limit=5).has_more) == (True, False)
    with pytest.raises(openai.BadRequestError):
        client.batches.list(limit=101)


def test_a_batch_and_its_files_are_not_there_for_another_tenant(api: OpenAIApi) -> None:
    api.gate.keys |= {"sk-anna": "anna", "sk-bert": "bert"}
    batch = api.reached(api.batch_of(["hello"], key="sk-anna"), key="sk-anna")
    bert = api.client("sk-bert")
    looks: list[Any] = [bert.batches.retrieve, bert.batches.cancel]
    for look in looks:
        with pytest.raises(openai.NotFoundError):
            look(batch.id)
    with pytest.raises(openai.NotFoundError):
        bert.files.content(str(batch.output_file_id))
    with pytest.raises(openai.BadRequestError):
        bert.batches.create(input_file_id=batch.input_file_id, endpoint="/v1/moderations", completion_window="24h")
    assert list(bert.batches.list()) == []
    assert [job.tenant for job in api.desk.asked] == ["anna"]


def test_a_tenant_has_only_so_many_batches_under_way(api: OpenAIApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_store, "UNFINISHED_MAX", 2)
    api.desk.held = True
    first = [api.batch_of(["hello"]) for _ in range(2)]
    with pytest.raises(openai.RateLimitError):
        api.batch_of(["hello"])
    held(api, 2)
    api.desk.release()
    api.reached(first[0])
    api.reached(first[1])
    assert api.batch_of(["hello"]).status == "validating"


def test_a_batch_costs_one_text_whatever_it_asks(api: OpenAIApi) -> None:
    api.reached(api.batch_of(["hello"] * 9))
    assert [cost for cost in api.gate.spent if cost] == [1, 1]  # the upload and the batch


def test_the_asynchronous_client_runs_a_batch(api: OpenAIApi) -> None:
    async def story() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{api.address}/v1", api_key=api.key, max_retries=0) as client:
            file = await client.files.create(file=("in.jsonl", jsonl(["hello", "idiot"])), purpose="batch")
            batch = await client.batches.create(input_file_id=file.id, endpoint="/v1/moderations", completion_window="24h")
            await asyncio.to_thread(api.reached, openai.types.Batch.model_validate(batch))
            return [found.status async for found in client.batches.list()]

    assert asyncio.run(story()) == ["completed"]


def test_outcomes_of_others_are_none_of_our_business(api: OpenAIApi) -> None:
    batch = api.reached(api.batch_of(["hello"]))
    names = ["job-1", "batch_1-1-0", f"{batch.id}-1", f"x{batch.id}-1-0", f"batch_{'0' * 32}-1-0", f"{batch.id}-1-0"]
    api.part.sinks[0].take([outcome_of(TextJob(job_id=name, text="idiot")) for name in names])
    assert api.client().batches.retrieve(batch.id) == batch
    assert api.lines_of(batch.output_file_id)[0]["response"]["body"]["results"][0]["flagged"] is False


def test_an_outcome_that_cannot_be_read_fails_its_line_and_not_the_gateway(api: OpenAIApi) -> None:
    api.desk.held = True
    created = api.batch_of(["hello"])
    held(api, 1)
    api.part.sinks[0].take([Outcome(api.desk.waiting[0].job_id, b'{"version": 2}', dead=False)])
    batch = api.reached(created)
    assert [found["response"]["status_code"] for found in api.lines_of(batch.error_file_id)] == [500]
