"""A gateway that is killed in the middle of a batch: the next one on the same folder finishes it, with each line once."""

import asyncio
import errno
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from pipeline.gateway.contract import Context
from pipeline.gateway.database import Database
from pipeline.gateway.openai import lines, runner
from pipeline.gateway.openai.file_store import FileStore
from pipeline.gateway.openai.part import OpenAIPart, openai_part
from pipeline.gateway.openai.replies import Batch
from pipeline.settings import Settings
from tests.support.desk import FakeDesk
from tests.support.gateway import story, until
from tests.support.openai_api import jsonl, openai_api, toy
from tests.support.perspective import FakeGate
from tests.support.waiting import wait_until

ASKED = ["hello", "you idiot", ["kill", "", "BURY"], [], "", "friend", ["a", "b"]]
GOOD, BAD = 5, 2


def part_on(folder: Path, desk: FakeDesk) -> OpenAIPart:
    """The next life of the gateway that keeps its state in `folder`."""
    part = openai_part(Context(Settings(), desk, FakeGate(), folder, dict, [toy(folder)]))
    desk.sinks = part.sinks
    return part


def begin_batch(part: OpenAIPart, content: bytes, tenant: str = "default") -> Batch:
    """A batch as the routes begin it."""
    stores = part._stores
    incoming = stores.files.create()
    incoming.write(content)
    file = stores.files.keep(incoming, tenant=tenant, filename="in.jsonl", keep_s=9_999)
    return stores.batches.create(tenant, file.id, None, 9_999)


async def live(part: OpenAIPart, content: bytes | None = None) -> None:
    """One life, with a new batch if there is content for one, until no batch is under way."""
    await part.start()
    try:
        if content is not None:
            part._runner.take_up(begin_batch(part, content).id, "default")
        await until(lambda: not part._stores.batches.unfinished(), "every batch is at its end")
    finally:
        await part.stop()


def answers(part: OpenAIPart, batch: Batch) -> tuple[list[str], list[str]]:
    """The custom ids in the output and in the error file."""
    paths = [part._stores.files.path(name) for name in (batch.output_file_id, batch.error_file_id) if name]
    found = [[json.loads(line)["custom_id"] for line in path.read_text("utf-8").splitlines()] for path in paths]
    return found[0], found[1]


def test_wherever_a_gateway_is_killed_the_next_one_finishes_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_of_a_batch(tmp_path, monkeypatch)
    assert len(images) > 15
    stages: Counter[str] = Counter()
    for image in images:
        desk = FakeDesk()
        part = part_on(image, desk)
        for batch in part._stores.batches.page("default", None, 9):
            stages[batch.status] += 1
            missing = part._stores.texts.missing(batch.id, 0, 9) if batch.status == "in_progress" else None
            asyncio.run(live(part))
            ended = part._stores.batches.get(batch.id)
            assert ended.status == "completed"
            assert answers(part, ended) == (["line-1", "line-2", "line-5", "line-6", "line-7"], ["line-3", "line-4"])
            assert (ended.request_counts.completed, ended.request_counts.failed) == (GOOD, BAD)
            assert missing is None or {job.job_id for job in desk.asked} == {f"{batch.id}-{at}-{index}" for at, index in missing}
            assert {path.name for path in (image / "openai" / "files").iterdir()} == {
                *(ended.input_file_id, ended.output_file_id, ended.error_file_id)
            }
    assert {"validating", "in_progress", "finalizing", "completed"} == set(stages)


def images_of_a_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What lies on the disk after each commit of a batch's life: what a kill at that moment would leave."""
    images: list[Path] = []
    commit = Database._commit

    def commit_and_copy(database: Database, *arguments: object) -> None:
        commit(database, *arguments)  # type: ignore[arg-type]
        images.append(folder / f"image-{len(images)}")
        shutil.copytree(folder / "first", images[-1])

    (folder / "first").mkdir()
    monkeypatch.setattr(lines, "_PIECE_LINES", 2)
    monkeypatch.setattr(runner, "SLICE_JOBS", 1)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "_commit", commit_and_copy)
        asyncio.run(live(part_on(folder / "first", FakeDesk()), jsonl(ASKED)))
    return images


def test_a_restart_hands_over_only_what_has_no_outcome(tmp_path: Path) -> None:
    first, second = FakeDesk(), FakeDesk()
    first.held = True
    with openai_api(tmp_path, desk=first) as api:
        created = api.batch_of([f"text {number}" for number in range(10)])
        wait_until(lambda: len(first.waiting) == 10, "all jobs are handed over")
        first.waiting = first.waiting[:6]
        first.release()
        assert len(api.part.sinks[0].waiting()) == 4
    with openai_api(tmp_path, desk=second) as api:
        batch = api.reached(created)
        assert batch.status == "completed"
        assert [job.text for job in second.asked] == ["text 6", "text 7", "text 8", "text 9"]
        assert [found["custom_id"] for found in api.lines_of(batch.output_file_id)] == [f"line-{n}" for n in range(1, 11)]


def test_the_job_of_a_text_is_the_same_whenever_it_is_handed_over(tmp_path: Path) -> None:
    desks = [FakeDesk(), FakeDesk()]
    for desk in desks:
        desk.held = True
        with openai_api(tmp_path, desk=desk) as api:
            if desk is desks[0]:
                api.batch_of(["hello", ["idiot", "friend"]])
            wait_until(lambda desk=desk: len(desk.waiting) == 3, "all jobs are handed over")
    assert desks[0].asked == desks[1].asked


def test_outcomes_that_come_before_the_next_start_are_kept(tmp_path: Path) -> None:
    desk = FakeDesk()
    desk.held = True
    with openai_api(tmp_path, desk=desk) as api:
        created = api.batch_of(["hello", "idiot"])
        wait_until(lambda: len(desk.waiting) == 2, "all jobs are handed over")
    desk.release()  # the part has stopped, and its sink still takes
    desk.asked.clear()
    with openai_api(tmp_path, desk=desk) as api:
        assert api.reached(created).status == "completed"
    assert desk.asked == []


def test_a_batch_that_was_forgotten_for_a_day_has_expired(tmp_path: Path) -> None:
    now, desk = [1_000_000.0], FakeDesk()
    desk.held = True
    with openai_api(tmp_path, desk=desk, clock=lambda: now[0]) as api:
        created = api.batch_of(["hello", "idiot"])
        wait_until(lambda: len(desk.waiting) == 2, "all jobs are handed over")
        desk.waiting.pop()
        desk.release()
    now[0] += 86_401
    with openai_api(tmp_path, clock=lambda: now[0]) as api:
        batch = api.reached(created)
        assert (batch.status, len(api.lines_of(batch.output_file_id))) == ("expired", 1)
        assert [found["error"]["code"] for found in api.lines_of(batch.error_file_id)] == ["batch_expired"]


def test_a_batch_that_nobody_has_read_in_time_has_no_files(tmp_path: Path) -> None:
    now = [1_000_000.0]
    part = openai_part(Context(Settings(), FakeDesk(), FakeGate(), tmp_path, dict, [toy(tmp_path)]), lambda: now[0])
    batch = begin_batch(part, jsonl(["hello"]))
    now[0] += 86_400
    asyncio.run(live(part))
    ended = part._stores.batches.get(batch.id)
    assert (ended.status, ended.output_file_id, ended.error_file_id) == ("expired", None, None)


def test_batches_that_have_ended_long_ago_are_forgotten_with_their_files(tmp_path: Path) -> None:
    now = [1_000_000.0]
    with openai_api(tmp_path, clock=lambda: now[0]) as api:
        assert api.reached(api.batch_of(["hello"])).status == "completed"
    now[0] += 31 * 86_400
    with openai_api(tmp_path, clock=lambda: now[0]) as api:
        wait_until(lambda: not list(api.client().batches.list()), "the batch is forgotten")
        wait_until(lambda: not list((tmp_path / "openai" / "files").iterdir()), "its files are swept")


def test_a_full_disk_delays_a_batch_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create, full = FileStore.create, [True]

    def create_if_it_fits(store: FileStore) -> object:
        if full.pop() if full else False:
            raise OSError(errno.ENOSPC, "no space left on device")
        return create(store)

    with openai_api(tmp_path) as api:
        created = api.batch_of(["hello"], output_expires_after={"anchor": "created_at", "seconds": 3_600})
        batch = api.reached(created)
        assert len(api.lines_of(batch.output_file_id)) == 1
        desk = api.desk
        desk.held = True
        created = api.batch_of(["hello", "BURY"])
        wait_until(lambda: len(desk.waiting) == 2, "all jobs are handed over")
        monkeypatch.setattr(FileStore, "create", create_if_it_fits)
        desk.release()
        batch = api.reached(created)
        assert (batch.status, full) == ("completed", [])
        assert len(list((tmp_path / "openai" / "files").iterdir())) == 5  # two inputs, two outputs, one error file


@story
async def test_a_small_tenant_does_not_wait_behind_a_large_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SLICE_JOBS", 2)
    desk = TurnstileDesk()
    part = part_on(tmp_path, desk)
    await part.start()
    part._runner.take_up(begin_batch(part, jsonl(["x"] * 9), "large").id, "large")
    await until(part._runner._turn.locked, "the large tenant has its turn")
    part._runner.take_up(begin_batch(part, jsonl(["y"]), "small").id, "small")
    await until(lambda: part._runner._turn._waiters, "the small tenant waits for its turn")
    desk.open.set()
    await until(lambda: not part._stores.batches.unfinished(), "both are at their end")
    await part.stop()
    assert [job.tenant for job in desk.asked][:5] == ["large", "large", "small", "large", "large"]


class TurnstileDesk(FakeDesk):
    """Takes jobs once it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()

    async def hand_over(self, jobs: object) -> None:
        await self.open.wait()
        await super().hand_over(jobs)  # type: ignore[arg-type]
