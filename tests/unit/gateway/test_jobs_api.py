"""POST /v1/jobs and GET /v1/jobs/{id}: what comes back now, what comes back later, and to whom."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import to_json

from pipeline.gateway.contract import Late, Outcome, Overloaded, Unavailable
from schemas.jobs import TextJob
from tests.support.desk import FakeDesk
from tests.support.front import Gateway, make_gateway


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return make_gateway(tmp_path)


class LateDesk(FakeDesk):
    """Publishes what is asked, and has no outcome of texts that say so."""

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:  # noqa: ARG002 (the contract's)
        await self.hand_over([job for job in jobs if "SLOW" not in job.text])
        late = [job.job_id for job in jobs if "SLOW" in job.text]
        self.waiting.extend(job for job in jobs if "SLOW" in job.text)
        raise Late(late)


def test_a_job_is_accepted_with_an_id_and_a_place_to_ask(gateway: Gateway) -> None:
    with gateway.client() as client:
        reply = client.post("/v1/jobs", json={"text": "you idiot", "metadata": {"post": 7}, "language": "en"})
        body = reply.json()
        found = client.get(body["links"]["self"]).json()
    assert reply.status_code == 202
    assert reply.headers["location"] == body["links"]["self"] == f"/v1/jobs/{body['id']}"
    assert (body["object"], body["status"]) == ("job", "pending")
    assert (found["status"], found["result"]["verdict"], found["result"]["metadata"]) == ("done", "block", {"post": 7})
    assert found["created_at"] == body["created_at"]


def test_a_job_that_has_no_outcome_yet_is_pending(gateway: Gateway) -> None:
    gateway.desk.held = True
    with gateway.client() as client:
        place = client.post("/v1/jobs", json={"text": "hello"}).headers["location"]
        assert client.get(place).json()["status"] == "pending"
        gateway.desk.release()
        assert client.get(place).json()["status"] == "done"


def test_many_jobs_are_answered_in_their_order(gateway: Gateway) -> None:
    texts = [{"text": f"hello {number}", "metadata": {"n": number}} for number in range(500)]
    with gateway.client() as client:
        accepted = client.post("/v1/jobs", json={"jobs": texts}).json()
        done = client.post("/v1/jobs?wait=5", json={"jobs": texts}).json()
    assert accepted["object"] == "list"
    assert [job["status"] for job in accepted["data"]] == ["pending"] * 500
    assert [job["result"]["metadata"]["n"] for job in done["data"]] == list(range(500))
    assert len({job["id"] for job in accepted["data"] + done["data"]}) == 1_000


def test_who_waits_gets_the_outcome(gateway: Gateway) -> None:
    with gateway.client() as client:
        reply = client.post("/v1/jobs?wait=1.5", json={"text": "you idiot"})
    assert reply.status_code == 200
    assert reply.json()["result"]["verdict"] == "block"


def test_a_dead_letter_is_422_alone_and_a_status_in_a_list(gateway: Gateway) -> None:
    with gateway.client() as client:
        alone = client.post("/v1/jobs?wait=1", json={"text": "BURY"})
        listed = client.post("/v1/jobs?wait=1", json={"jobs": [{"text": "BURY"}, {"text": "hello"}]})
        (job_id,) = alone.json()["error"]["job_ids"]
        kept = client.get(f"/v1/jobs/{job_id}").json()
    assert (alone.status_code, alone.json()["error"]["code"]) == (422, "empty_text")
    assert listed.status_code == 200
    assert [job["status"] for job in listed.json()["data"]] == ["dead", "done"]
    assert kept["status"] == "dead"
    assert kept["error"]["code"] == "empty_text"
    assert "BURY" not in json.dumps(kept)


def test_late_jobs_are_504_and_go_on(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, LateDesk())
    with gateway.client() as client:
        reply = client.post("/v1/jobs?wait=1", json={"jobs": [{"text": "hello"}, {"text": "SLOW"}]})
        body = reply.json()
        late = body["error"]["job_ids"]
        assert reply.status_code == 504
        assert [job["status"] for job in body["data"]] == ["done", "pending"]
        assert late == [body["data"][1]["id"]]
        gateway.desk.release()
        assert client.get(f"/v1/jobs/{late[0]}").json()["status"] == "done"


def test_each_job_has_an_id_of_ours_and_the_tenant_of_its_key(gateway: Gateway) -> None:
    with gateway.client(gateway.key("acme")) as client:
        client.post("/v1/jobs", json={"text": "hello", "deadline": "2027-01-01T00:00:00Z"})
    (job,) = gateway.desk.asked
    assert job.tenant == "acme"
    assert job.reply_to is None
    assert job.deadline is not None


BAD: list[tuple[bytes, str, str | None]] = [
    (b"", "malformed_json", None),
    (b"{", "malformed_json", None),
    (b'{"text":NaN}', "malformed_json", None),
    (b'"text"', "invalid_field", None),
    (b"[]", "invalid_field", None),
    (b"{}", "missing_field", "text"),
    (b'{"text":1}', "invalid_field", "text"),
    (b'{"text":"  "}', "empty_text", None),
    (b'{"text":"\\ud800"}', "malformed_json", None),
    (b'{"text":"a","tenant":"acme"}', "unknown_field", "tenant"),
    (b'{"text":"a","job_id":"mine"}', "unknown_field", "job_id"),
    (b'{"text":"a","reply_to":"llmos.replies.x"}', "unknown_field", "reply_to"),
    (b'{"text":"a","version":1}', "unknown_field", "version"),
    (b'{"text":"a","task":"poetry"}', "unknown_task", "task"),
    (b'{"text":"a","task":null}', "unknown_task", "task"),
    (b'{"text":"a","language":"english!"}', "invalid_field", "language"),
    (b'{"text":"a","deadline":1}', "invalid_field", "deadline"),
    (b'{"text":"a","metadata":[]}', "invalid_field", "metadata"),
    (b'{"jobs":[]}', "bulk_too_long", "jobs"),
    (b'{"jobs":{"text":"a"}}', "bulk_too_long", "jobs"),
    (b'{"jobs":[{"text":"a"}],"text":"a"}', "unknown_field", None),
    (b'{"jobs":[{"text":"a"},{"text":"b","x":1}]}', "unknown_field", "jobs.1.x"),
    (b'{"jobs":[1]}', "invalid_field", "jobs.0"),
    (to_json({"jobs": [{"text": "a"}] * 501}), "bulk_too_long", "jobs"),
    (to_json({"text": "a", "metadata": {"x": "y" * 20_000}}), "metadata_too_large", None),
    (b'{"text":"a","metadata":' + b'{"a":' * 40 + b"1" + b"}" * 41, "invalid_field", None),
    (b"[" * 100_000, "malformed_json", None),
]


@pytest.mark.parametrize(("body", "code", "param"), BAD, ids=lambda value: str(value)[:30])
def test_what_is_malformed_is_400_with_code_and_path(gateway: Gateway, body: bytes, code: str, param: str | None) -> None:
    with gateway.client() as client:
        reply = client.post("/v1/jobs", content=body, headers={"content-type": "application/json"})
    error = reply.json()["error"]
    assert (reply.status_code, error["code"], error["param"]) == (400, code, param), error
    assert gateway.desk.asked == []


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "soon", ""])
def test_a_wait_that_cannot_be_is_400(gateway: Gateway, wait: str) -> None:
    with gateway.client() as client:
        reply = client.post(f"/v1/jobs?wait={wait}", json={"text": "hello"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "wait")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 202),
        ({"content-type": "Application/JSON; charset=utf-8"}, 202),
        ({"content-type": "application/problem+json"}, 202),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({}, 415),
        ({"content-type": "application/json", "content-encoding": "gzip"}, 415),
    ],
)
def test_only_plain_json_is_taken(gateway: Gateway, headers: dict[str, str], status: int) -> None:
    with gateway.client() as client:
        assert client.post("/v1/jobs", content=b'{"text":"hello"}', headers=headers).status_code == status


def test_a_tenant_without_a_policy_is_told_so(gateway: Gateway) -> None:
    with gateway.client(gateway.key("nobody")) as client:
        reply = client.post("/v1/jobs", json={"text": "hello"})
        assert client.get("/v1/policies").status_code == 403
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "unknown_tenant")
    assert "nobody" in reply.json()["error"]["message"]


def test_nobody_reads_the_job_of_another_tenant(gateway: Gateway) -> None:
    ours, theirs = gateway.key("default"), gateway.key("acme")
    with gateway.client(ours) as client:
        place = client.post("/v1/jobs", json={"text": "hello"}).headers["location"]
        assert client.get(place).status_code == 200
        other = client.get(place, headers={"authorization": f"Bearer {theirs}"})
        events = client.get("/v1/jobs/events", headers={"authorization": f"Bearer {theirs}"}).json()
        unknown = client.get("/v1/jobs/019ab2c3-4d5e-7f60-8a9b-0c1d2e3f4a5b", headers={"authorization": f"Bearer {theirs}"})
    assert other.status_code == unknown.status_code == 404
    assert other.json()["error"]["code"] == unknown.json()["error"]["code"] == "not_found"
    assert events["data"] == []


@pytest.mark.parametrize("job_id", ["x", "x" * 5_000, "%00", "%F0%9F%98%80", "..%2f"])
def test_an_id_that_is_none_of_ours_is_404(gateway: Gateway, job_id: str) -> None:
    with gateway.client() as client:
        assert client.get(f"/v1/jobs/{job_id}").status_code == 404


def test_each_text_counts_against_the_limit(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, http_texts_per_minute=3)
    with gateway.client() as client:
        assert client.post("/v1/jobs", json={"jobs": [{"text": "hello"}] * 3}).status_code == 202
        assert client.post("/v1/jobs", json={"text": "hello"}).status_code == 429
        assert client.get("/v1/jobs/x").status_code == 404
    assert len(gateway.desk.asked) == 3


def test_too_many_jobs_without_an_outcome_are_turned_away(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path, gateway_batch_in_flight_jobs=2)
    gateway.desk.held = True
    with gateway.client() as client:
        assert client.post("/v1/jobs", json={"jobs": [{"text": "hello"}] * 2}).status_code == 202
        refused = client.post("/v1/jobs", json={"text": "hello"})
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "5")
        gateway.desk.release()
        assert client.post("/v1/jobs", json={"text": "hello"}).status_code == 202


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs?wait=1"])
@pytest.mark.parametrize(("error", "status"), [(Overloaded(2), 429), (Unavailable("away"), 503)])
def test_what_was_not_accepted_leaves_nothing_behind(gateway: Gateway, path: str, error: Exception, status: int) -> None:
    gateway.desk.failure = error
    with gateway.client() as client:
        assert client.post(path, json={"text": "hello"}).status_code == status
    again = make_gateway(gateway.settings.state_dir)
    with again.client() as client:
        client.post("/v1/jobs", json={"text": "another"})
    assert [job.text for job in again.desk.asked] == ["another"]


def describe(job: dict[str, Any]) -> tuple[str, str]:
    """What matters of a job."""
    return job["id"], job["status"]


def test_outcomes_outlive_a_restart(tmp_path: Path) -> None:
    with make_gateway(tmp_path).client() as client:
        done = client.post("/v1/jobs?wait=1", json={"text": "hello"}).json()
    with make_gateway(tmp_path).client() as client:
        assert describe(client.get(f"/v1/jobs/{done['id']}").json()) == (done["id"], "done")


def test_an_outcome_that_comes_after_a_restart_is_taken(tmp_path: Path) -> None:
    gateway = make_gateway(tmp_path)
    gateway.desk.held = True
    with gateway.client() as client:
        place = client.post("/v1/jobs", json={"text": "hello"}).headers["location"]
    again = make_gateway(tmp_path)
    again.desk.waiting = gateway.desk.waiting
    again.desk.release()  # before anything has started
    with again.client() as client:
        assert client.get(place).json()["status"] == "done"
    assert again.desk.asked == []
