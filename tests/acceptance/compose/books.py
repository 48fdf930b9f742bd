"""Jobs with known ids, and what came of them: each in exactly one of results and dead letters."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

from tests.acceptance.compose.engine import ROOT
from tests.acceptance.compose.report import Check
from tests.acceptance.compose.stack import Stack

BURIED = "\u200b\u2060"
"""A text with nothing to score: its job must end as a dead letter."""
BURY_EVERY = 101
CHUNK_JOBS = 50
STREAM_S = 240
"""How long three quarters of the jobs last: longer than it takes to add workers, kill one and stop all."""
PUBLISH_S = 120


def jobs(count: int) -> list[dict[str, str]]:
    """So many jobs, nearly all of them good; their ids are of this run, whatever an older one has left behind."""
    run = uuid.uuid4().hex[:8]
    lines = (ROOT / "examples" / "comments.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    return [
        {"job_id": f"{run}-{number:06}", "text": BURIED if number % BURY_EVERY == 0 else f"{texts[number % len(texts)]} {number}"}
        for number in range(count)
    ]


class Stream:
    """Publishes from the cli container, steadily through its standard input; the last quarter when told to end."""

    def __init__(self, stack: Stack, sent: list[dict[str, str]]) -> None:
        self._process = stack.cli_process("publish", "-")
        self._sent = sent
        self._ending = threading.Event()
        self._kept_back = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    @property
    def flows(self) -> bool:
        """Whether jobs are being published now."""
        return self._process.poll() is None and not self._kept_back.is_set()

    def end(self) -> int:
        """Send the rest at once; the exit code of the publisher."""
        self._ending.set()
        self._thread.join()
        return self._process.wait(timeout=PUBLISH_S)

    def _write(self) -> None:
        assert self._process.stdin
        with self._process.stdin as pipe:
            last = len(self._sent) * 3 // 4
            for start in range(0, len(self._sent), CHUNK_JOBS):
                if start >= last and not self._ending.is_set():
                    self._kept_back.set()
                    self._ending.wait()
                pipe.write("".join(json.dumps(job) + "\n" for job in self._sent[start : start + CHUNK_JOBS]).encode())
                pipe.flush()
                self._ending.wait(STREAM_S * CHUNK_JOBS / last)


def balance(stack: Stack, sent: list[dict[str, str]]) -> Iterator[Check]:
    """Read both topics through the cli container, and compare."""
    results = Counter(json.loads(line)["job_id"] for line in stack.cli("results", "--format", "jsonl").splitlines())
    listed = stack.cli("dead-letters", "list", "--json", "--limit", str(len(sent)))
    dead = {json.loads(line)["job_id"] for line in listed.splitlines()}
    ids = {job["job_id"] for job in sent}
    buried = {job["job_id"] for job in sent if job["text"] == BURIED}
    run = sent[0]["job_id"].partition("-")[0]
    ours = {job_id for job_id in results if job_id.startswith(f"{run}-")}
    lost = ids - ours - dead
    yield Check(
        "nothing lost",
        not lost,
        f"{len(ids):,} published, {len(ours):,} results, {len(dead & ids):,} dead letters, lost {_some(lost)}",
    )
    yield Check("each job in one of the two", not ours & dead, _some(ours & dead))
    yield Check("what must fail failed, and nothing else", dead & ids == buried, _some((dead & ids) ^ buried))
    yield Check("nothing invented", not ours - ids, _some(ours - ids))


def _some(ids: set[str]) -> str:
    return f"{len(ids)}" + (f" ({', '.join(sorted(ids)[:5])})" if ids else "")
