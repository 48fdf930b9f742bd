"""`llmos up`: the whole system on the embedded broker, whatever other broker there may be."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline import exits
from pipeline.embedded import die_with_parent
from pipeline.kafka import BROKER_FILE
from pipeline.system import GATEWAY_FILE
from schemas.codes import Code, Verdict
from tests.support.brokers import need_embedded_broker
from tests.support.processes import STOP_S, Installation, installation
from tests.support.waiting import wait_until

pytestmark = pytest.mark.broker

ROWS = 4_000


class Up:
    """A running `llmos up`."""

    def __init__(self, place: Installation) -> None:
        self.place = place
        self.log_file = place.folder / "up.log"
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipeline", "up"],
                stdout=log,
                stderr=log,
                env=place.environment,
                cwd=place.folder,
                preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call, no locks)
            )
        wait_until(lambda: "ready in" in self.log or self.process.poll() is not None, lambda: f"ready\n{self.log}", STOP_S)
        assert self.process.poll() is None, self.log

    @property
    def log(self) -> str:
        """What it tells."""
        return self.log_file.read_text("utf-8")

    def children(self) -> dict[int, str]:
        """The processes that it runs: pid and command line."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") for pid in pids}

    def stop(self) -> None:
        """End it, and with it its children."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        finally:
            self.process.kill()
            self.process.wait()

    def child(self, command: str) -> int:
        """The one child with `command` in its command line."""
        (pid,) = [pid for pid, line in self.children().items() if command in line]
        return pid


@pytest.fixture(scope="module")
def up(toy_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything, ready; no other command is told where the broker is."""
    need_embedded_broker()
    ours = {"LLMOS_TOPIC_PARTITIONS": "2", "LLMOS_KAFKA_SESSION_TIMEOUT_MS": "3000", "LLMOS_WORKER_PROVIDER": "cpu"}
    with installation({**toy_environment, **ours}, tmp_path_factory.mktemp("up")) as place:
        started = Up(place)
        try:
            yield started
        finally:
            started.stop()


def lines(file: Path) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_jobs_come_back_and_the_other_commands_find_the_broker(up: Up) -> None:
    folder = up.place.folder
    rows = ['{"job_id": "up-1", "text": "you idiot"}', '{"job_id": "up-2", "text": ""}', '{"job_id": "up-3", "text": "hello"}']
    (folder / "jobs.jsonl").write_text("\n".join(rows), "utf-8")
    done = up.place.llmos("publish", "jobs.jsonl", "--wait", "--output", "out.jsonl")
    assert done.returncode == exits.INCOMPLETE, done.stderr
    outcomes = {outcome["job_id"]: outcome.get("verdict") or outcome["code"] for outcome in lines(folder / "out.jsonl")}
    assert outcomes == {"up-1": Verdict.BLOCK, "up-2": Code.EMPTY_TEXT, "up-3": Verdict.ALLOW}
    printed = [json.loads(line)["job_id"] for line in up.place.llmos("results", "--format", "jsonl").stdout.splitlines()]
    assert sorted(printed) == ["up-1", "up-3"]
    assert "up-2" in up.place.llmos("dead-letters", "list").stdout
    groups = json.loads(up.place.llmos("topics", "describe", "--json").stdout)["groups"]
    assert [group["lag"] for group in groups] == [0, 0]


def test_the_gateway_answers_where_it_says_also_after_a_kill(up: Up) -> None:
    url = json.loads((up.place.settings.state_dir / GATEWAY_FILE).read_text("utf-8"))["url"]
    assert f"HTTP     {url} " in up.log

    def flagged() -> bool | None:
        try:
            reply = httpx.post(f"{url}/v1/moderations", json={"input": "you idiot"}, timeout=30)
        except httpx.TransportError:
            return None
        return bool(reply.json()["results"][0]["flagged"]) if reply.is_success else None

    assert flagged() is True
    os.kill(up.child("-m pipeline gateway"), signal.SIGKILL)
    wait_until(lambda: "gateway died (exit code -9)" in up.log, lambda: up.log)
    assert wait_until(flagged, lambda: up.log, STOP_S) is True


def test_a_second_one_in_the_same_folder_is_refused(up: Up) -> None:
    done = up.place.llmos("up")
    assert done.returncode == exits.CONFIGURATION
    assert "runs already" in done.stderr


def test_killed_children_are_started_again_and_nothing_is_lost(up: Up) -> None:
    folder = up.place.folder
    jobs = [json.dumps({"job_id": f"kill-{number}", "text": "you idiot"}) for number in range(ROWS)]
    (folder / "many.jsonl").write_text("\n".join(jobs), "utf-8")
    publishing = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "publish", "many.jsonl", "--wait", "--output", "many.out"],
        env={**up.place.environment, "LLMOS_PUBLISH_BULK_JOBS": "10"},
        cwd=folder,
        stderr=subprocess.DEVNULL,
    )
    try:
        killed = [up.child("-m pipeline preprocess"), up.child("-m workers")]
        wait_until(lambda: (folder / "many.out").exists() and (folder / "many.out").stat().st_size > 0, "a first outcome")
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert publishing.wait(STOP_S) == exits.OK
    finally:
        publishing.kill()
        publishing.wait()
    came = [outcome["job_id"] for outcome in lines(folder / "many.out")]
    assert sorted(came) == sorted(f"kill-{number}" for number in range(ROWS))
    for name in ("preprocess-1", "worker-1"):
        assert f"{name} died (exit code -9); starting it again" in up.log
    assert {up.child("-m pipeline preprocess"), up.child("-m workers")}.isdisjoint(killed)


def test_sigterm_drains_stops_everything_and_exits_0(up: Up) -> None:
    children = up.children()
    assert len(children) == 4
    up.process.terminate()
    assert up.process.wait(STOP_S) == exits.OK, up.log
    assert up.log.endswith("stopped\n")
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    state = up.place.settings.state_dir
    assert not (state / BROKER_FILE).exists()
    assert not (state / GATEWAY_FILE).exists()
    assert not list(state.glob("*.ready"))
    logs = {file.name: file.read_text("utf-8") for file in (state / "logs").glob("*.log")}
    assert "drained" in logs["worker-1.log"]
    assert "drained" in logs["gateway.log"]
    assert "stopped" in logs["preprocess-1.log"]
