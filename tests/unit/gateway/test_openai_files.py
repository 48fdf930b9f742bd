"""/v1/files through the official client, and uploads that no client sends."""

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pipeline.gateway.database import Database
from pipeline.gateway.openai import upload
from pipeline.gateway.openai.file_store import KEEP_S, FileStore
from pipeline.gateway.openai.tables import SCHEMA
from tests.support.openai_api import OpenAIApi, openai_api
from tests.support.waiting import wait_until

CONTENT = b'{"a": "\xe4\xbd\xa0\xe5\xa5\xbd"}\r\n\n--not a boundary\r\n'


@pytest.fixture
def api(tmp_path: Path) -> Iterator[OpenAIApi]:
    with openai_api(tmp_path, keys={"sk-anna": "anna", "sk-bert": "bert"}) as api:
        yield api


@pytest.fixture
def anna(api: OpenAIApi) -> openai.OpenAI:
    """A client of one tenant."""
    return api.client("sk-anna")


def put(client: openai.OpenAI, content: bytes = CONTENT, name: str = "in.jsonl", **options: Any) -> Any:
    return client.files.create(file=(name, content), purpose="batch", **options)


def on_disk(api: OpenAIApi) -> list[str]:
    return sorted(path.name for path in (api.folder / "openai" / "files").iterdir())


def test_a_file_comes_back_as_it_was_sent(anna: openai.OpenAI) -> None:
    file = put(anna, name="comments of May.JSONL")
    assert (file.bytes, file.filename, file.purpose) == (len(CONTENT), "comments of May.JSONL", "batch")
    assert (file.object, file.status, file.expires_at) == ("file", "processed", file.created_at + KEEP_S)
    assert anna.files.retrieve(file.id) == file
    assert anna.files.content(file.id).read() == CONTENT
    assert anna.files.wait_for_processing(file.id) == file


def test_a_file_of_many_pieces_comes_back_whole(anna: openai.OpenAI) -> None:
    content = os.urandom(3 << 20) + b"\r\n--" * 1000
    file = put(anna, content)
    assert anna.files.content(file.id).read() == content


def test_an_empty_file_is_taken_as_it_is(anna: openai.OpenAI) -> None:
    assert anna.files.content(put(anna, b"").id).read() == b""


def test_lists_are_read_page_by_page_in_both_orders(anna: openai.OpenAI) -> None:
    ids = [put(anna).id for _ in range(5)]
    assert sorted(file.id for file in anna.files.list(limit=2)) == sorted(ids)
    assert [file.id for file in anna.files.list(limit=2, order="asc")] == [file.id for file in anna.files.list()][::-1]
    first = anna.files.list(limit=2)
    assert (first.has_more, len(first.data)) == (True, 2)
    assert [file.id for file in anna.files.list(purpose="batch_output")] == []


def test_a_list_can_be_emptied_while_it_is_read(anna: openai.OpenAI) -> None:
    for _ in range(5):
        put(anna)
    for file in anna.files.list(limit=2):
        assert anna.files.delete(file.id).deleted
    assert [file.id for file in anna.files.list()] == []


def test_a_deleted_file_is_gone_from_the_disk_too(api: OpenAIApi, anna: openai.OpenAI) -> None:
    file = put(anna)
    assert on_disk(api) == [file.id]
    assert anna.files.delete(file.id).id == file.id
    with pytest.raises(openai.NotFoundError) as caught:
        anna.files.retrieve(file.id)
    assert (caught.value.param, f"No such File object: {file.id}" in str(caught.value)) == ("id", True)
    assert on_disk(api) == []


@pytest.mark.parametrize("look", ["retrieve", "content", "delete"])
def test_a_file_of_another_tenant_is_not_there(api: OpenAIApi, anna: openai.OpenAI, look: str) -> None:
    file = put(anna)
    with pytest.raises(openai.NotFoundError):
        getattr(api.client("sk-bert").files, look)(file.id)
    assert [found.id for found in api.client("sk-bert").files.list()] == []
    assert anna.files.retrieve(file.id) == file


@pytest.mark.parametrize(
    ("name", "options", "param"),
    [
        ("in.txt", {}, "file"),
        ("in.jsonl", {"purpose": "fine-tune"}, "purpose"),
        ("in.jsonl", {"expires_after": {"anchor": "created_at", "seconds": 3_599}}, "seconds"),
        ("in.jsonl", {"expires_after": {"anchor": "created_at", "seconds": KEEP_S + 1}}, "seconds"),
        ("in.jsonl", {"expires_after": {"anchor": "now", "seconds": 3_600}}, "anchor"),
        ("in.jsonl", {"expires_after": {"anchor": "created_at"}}, "seconds"),
    ],
)
def test_an_upload_that_asks_what_cannot_be_had_leaves_nothing_behind(
    api: OpenAIApi, anna: openai.OpenAI, name: str, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        anna.files.create(**{"file": (name, CONTENT), "purpose": "batch", **options})
    assert caught.value.param == param
    assert on_disk(api) == []


def test_an_expired_file_is_not_there_and_its_room_is_free(tmp_path: Path) -> None:
    now = [1_000_000.0]
    with openai_api(tmp_path, clock=lambda: now[0]) as api:
        file = put(api.client(), expires_after={"anchor": "created_at", "seconds": 3_600})
        assert file.expires_at == 1_003_600
        now[0] += 3_601
        with pytest.raises(openai.NotFoundError):
            api.client().files.retrieve(file.id)
    with openai_api(tmp_path, clock=lambda: now[0]) as api:
        wait_until(lambda: on_disk(api) == [], "the file is swept")


def test_a_file_beyond_the_limit_is_refused_and_leaves_nothing_behind(
    api: OpenAIApi, anna: openai.OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "FILE_BYTES_MAX", 1 << 20)
    assert put(anna, bytes(1 << 20)).bytes == 1 << 20
    with pytest.raises(openai.APIStatusError) as caught:
        put(anna, bytes((1 << 20) + 1))
    assert (caught.value.status_code, caught.value.code) == (413, "file_too_large")
    assert len(on_disk(api)) == 1


def test_all_files_together_have_a_bound_and_a_deleted_one_makes_room(tmp_path: Path) -> None:
    with openai_api(tmp_path, gateway_files_bytes_max=1_000) as api:
        client = api.client()
        first = put(client, bytes(600))
        with pytest.raises(openai.APIStatusError) as caught:
            put(client, bytes(401))
        assert (caught.value.status_code, caught.value.code) == (413, "storage_limit_exceeded")
        assert put(client, bytes(400)).bytes == 400
        client.files.delete(first.id)
        assert put(client, bytes(600)).bytes == 600


def test_an_upload_costs_one_text_and_looking_costs_none(api: OpenAIApi, anna: openai.OpenAI) -> None:
    file = put(anna)
    anna.files.list()
    anna.files.retrieve(file.id)
    anna.files.content(file.id)
    anna.files.delete(file.id)
    assert api.gate.spent == [1, 0, 0, 0, 0]


def multipart(*fields: tuple[str, bytes], end: bytes = b"--x--\r\n") -> bytes:
    parts = (b"--x\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in fields)
    return b"".join(parts) + end


FILE = 'name="file"; filename="in.jsonl"'


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "multipart/form-data; boundary=x"),
        (b"nonsense", "multipart/form-data; boundary=x"),
        (multipart((FILE, b"a")), "multipart/form-data"),
        (multipart((FILE, b"a")), "multipart/form-data; boundary=" + "x" * 1_000),
        (multipart((FILE, b"a")), "application/json"),
        (multipart((FILE, b"a")), "multipart/form-data; boundary=y"),
        (multipart((FILE, b"a")), "multipart/form-data; boundary=x"),  # no purpose
        (multipart(('name="purpose"', b"batch")), "multipart/form-data; boundary=x"),  # no file
        (multipart(('name="purpose"', b"batch"), ('name="file"', b"a")), "multipart/form-data; boundary=x"),  # no name
        (multipart(('name="purpose"', b"batch"), (FILE, b"a"), end=b""), "multipart/form-data; boundary=x"),  # cut off
        (multipart(('name="purpose"', b"b" * 2_000), (FILE, b"a")), "multipart/form-data; boundary=x"),
        (multipart(*[('name="purpose"', b"batch")] * 30, (FILE, b"a")), "multipart/form-data; boundary=x"),
        (b"--x\r\n" + b"A: b\r\n" * 1_000 + multipart((FILE, b"a")), "multipart/form-data; boundary=x"),
    ],
)
def test_a_broken_upload_is_a_bad_request_and_leaves_nothing_behind(api: OpenAIApi, body: bytes, kind: str) -> None:
    headers = {"authorization": "Bearer sk-anna", "content-type": kind}
    reply = httpx.post(f"{api.address}/v1/files", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")
    assert on_disk(api) == []


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(api: OpenAIApi) -> None:
    def half() -> Iterator[bytes]:
        yield multipart(('name="purpose"', b"batch"), (FILE, bytes(1 << 20)), end=b"")
        wait_until(lambda: on_disk(api), "the upload has begun")
        raise ConnectionError

    headers = {"authorization": "Bearer sk-anna", "content-type": "multipart/form-data; boundary=x"}
    with pytest.raises(ConnectionError):
        httpx.post(f"{api.address}/v1/files", content=half(), headers=headers)
    wait_until(lambda: on_disk(api) == [], "the upload is forgotten")


def test_an_upload_is_never_held_in_memory(tmp_path: Path) -> None:
    store = FileStore(Database(tmp_path / "db", SCHEMA), tmp_path / "files", 1 << 30)
    form = upload.Form(b"x", store)
    form.feed(multipart(('name="purpose"', b"batch"), (FILE, b""), end=b"")[:-2])
    largest = 0
    for _ in range(64):
        form.feed(b"line\r\n" * 10_000)
        largest = max(largest, len(form._unwritten))
    assert form.file is not None
    assert (largest, form.file.path.stat().st_size) == (0, form.file.size)
    assert form.file.size > 3 << 20
    form.discard()


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "order=up"])
def test_a_wrong_query_is_a_bad_request(api: OpenAIApi, query: str) -> None:
    reply = httpx.get(f"{api.address}/v1/files?{query}", headers={"authorization": "Bearer sk-anna"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, query.split("=", maxsplit=1)[0])


def test_the_asynchronous_client_uploads_and_reads(api: OpenAIApi) -> None:
    async def story() -> bytes:
        async with openai.AsyncOpenAI(base_url=f"{api.address}/v1", api_key="sk-anna", max_retries=0) as client:
            file = await client.files.create(file=("in.jsonl", io.BytesIO(CONTENT)), purpose="batch")
            return (await client.files.content(file.id)).content

    assert asyncio.run(story()) == CONTENT
