"""Many HTTP clients at once while a worker dies: `python -m tests.acceptance.clients --help`

Starts a broker, preprocess, two workers and a gateway; so many clients ask through all three APIs, each its next question once
the last is answered; a worker is killed again and again and comes back. Then: every answer's status is one that the contract
knows, every answer is about the texts that were asked, and every job that was accepted has its outcome.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from rich.console import Console

from pipeline.embedded import free_port
from pipeline.topics import create_topics
from tests.support.brokers import any_broker
from tests.support.processes import Installation, Stage, installation
from tests.support.toy import make_toy_models

STATUSES: Final = frozenset({200, 202, 422, 429, 503, 504})
"""What an answer may be while processes die."""
TEXTS: Final = {"hello friend": False, "you idiot": True, "你好": False, "kill the friend": True}
"""Texts, and whether the toy flags them."""
KILL_EVERY_S: Final = 10
SETTLE_S: Final = 60
REFUSED_SHARE: Final = 0.02
"""Of the questions, texts that become dead letters."""


@dataclass
class Tally:
    """What was answered."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    accepted: dict[str, bool | None] = field(default_factory=dict)
    """Jobs whose outcome is to be asked for later, and whether it must be flagged; None for one that must be dead."""
    seconds: list[float] = field(default_factory=list)

    def note(self, route: str, reply: httpx.Response) -> bool:
        """Count a reply; whether it is a 200."""
        self.statuses[route, reply.status_code] += 1
        if reply.status_code not in STATUSES:
            self.wrong.append(f"{route}: {reply.status_code} {reply.text[:200]}")
        if reply.status_code == 429 and "retry-after" not in reply.headers:
            self.wrong.append(f"{route}: 429 without Retry-After")
        return reply.status_code == 200

    def expect(self, holds: bool, what: str) -> None:  # noqa: FBT001
        """Note what does not hold."""
        if not holds:
            self.wrong.append(what)


Ask = Callable[[httpx.AsyncClient, Tally, random.Random], Awaitable[httpx.Response]]


async def moderations(client: httpx.AsyncClient, tally: Tally, dice: random.Random) -> httpx.Response:
    """OpenAI's endpoint, some strings at once."""
    texts = dice.choices(list(TEXTS), k=dice.randint(1, 4))
    reply = await client.post("/v1/moderations", json={"input": texts})
    if tally.note("moderations", reply):
        flagged = [result["flagged"] for result in reply.json()["results"]]
        tally.expect(flagged == [TEXTS[text] for text in texts], f"moderations of {texts}: {flagged}")
    return reply


async def analyze(client: httpx.AsyncClient, tally: Tally, dice: random.Random) -> httpx.Response:
    """Perspective's endpoint."""
    text = dice.choice([text for text in TEXTS if text.isascii()])
    body = {"comment": {"text": text}, "requestedAttributes": {"TOXICITY": {}}, "languages": ["en"]}
    reply = await client.post("/v1alpha1/comments:analyze", params={"key": "any"}, json=body)
    if tally.note("analyze", reply):
        score = reply.json()["attributeScores"]["TOXICITY"]["summaryScore"]["value"]
        tally.expect((score > 0.5) is TEXTS[text], f"analyze of {text}: {score}")
    return reply


async def jobs(client: httpx.AsyncClient, tally: Tally, dice: random.Random) -> httpx.Response:
    """Our own endpoint, waiting for the outcome or not."""
    refused = dice.random() < REFUSED_SHARE
    text = "\u200b\u2060" if refused else dice.choice(list(TEXTS))
    params = {"wait": "5"} if dice.random() < 0.5 else {}
    reply = await client.post("/v1/jobs", params=params, json={"text": text})
    tally.note("jobs", reply)
    if reply.status_code in {200, 202, 504}:
        for job_id in _ids(reply.json()):
            tally.accepted[job_id] = None if refused else TEXTS[text]
    if reply.status_code == 422:
        tally.expect(refused, f"jobs of {text!r}: refused")
    return reply


def _ids(body: dict[str, Any]) -> list[str]:
    if "error" in body and "job_ids" in body:
        return list(body["job_ids"])
    return [job["id"] for job in body["data"]] if "data" in body else [body["id"]]


ASKS: Final[tuple[Ask, ...]] = (moderations, analyze, jobs)


async def one_client(client: httpx.AsyncClient, tally: Tally, seed: int, until: float) -> None:
    """Asks one thing after the other, and waits as long as it is told to."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        began = time.monotonic()
        try:
            reply = await dice.choice(ASKS)(client, tally, dice)
        except httpx.HTTPError as error:
            tally.wrong.append(f"{error!r}")
            continue
        tally.seconds.append(time.monotonic() - began)
        if wait := reply.headers.get("retry-after"):
            await asyncio.sleep(min(float(wait), 5))


async def ask_all(url: str, tally: Tally, clients: int, seconds: float, worker: Stage) -> None:
    """All clients at once, a worker killed every now and then."""
    until = time.monotonic() + seconds
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        asking = asyncio.gather(*(one_client(client, tally, seed, until) for seed in range(clients)))
        while not asking.done():
            await asyncio.wait([asking], timeout=min(KILL_EVERY_S, seconds / 2))
            if not asking.done():
                worker.kill()
                worker.launch()
        await asking
        await _settle(client, tally)


async def _settle(client: httpx.AsyncClient, tally: Tally) -> None:
    """Ask for what was accepted until all of it has an outcome."""
    until = time.monotonic() + SETTLE_S
    while tally.accepted and time.monotonic() < until:
        for job_id, flagged in list(tally.accepted.items()):
            job = (await client.get(f"/v1/jobs/{job_id}")).json()
            if job["status"] == "pending":
                continue
            del tally.accepted[job_id]
            tally.expect((job["status"] == "dead") is (flagged is None), f"job {job_id}: {job['status']}")
            if job["status"] == "done":
                tally.expect((job["result"]["verdict"] != "allow") is flagged, f"job {job_id}: {job['result']['verdict']}")
        await asyncio.sleep(0.2)


@contextmanager
def served(folder: Path, **changes: str) -> Iterator[tuple[Installation, str, dict[str, Stage]]]:
    """A broker, preprocess, two workers and a gateway: the installation, the gateway's address, and the stages by name."""
    models = make_toy_models(folder / "toy")
    (folder / "place").mkdir()
    port = free_port()
    with any_broker(folder / "state") as broker:
        ours = {"LLMOS_TOPIC_PREFIX": f"http-{uuid4().hex[:8]}", "LLMOS_WORKER_PROVIDER": "cpu", "LLMOS_WORKER_THREADS": "1"}
        with installation({**broker, **models, **ours, **changes}, folder / "place") as place:
            create_topics(place.settings, [f"{place.settings.reply_prefix}gateway"])
            stages = {
                "preprocess": place.stage("preprocess"),
                "worker-1": place.stage("worker", "worker-1"),
                "worker-2": place.stage("worker", "worker-2"),
                "gateway": place.stage("gateway", LLMOS_HTTP_PORT=str(port)),
            }
            for stage in stages.values():
                stage.launch()
            for stage in stages.values():
                stage.wait_until_ready()
            yield place, f"http://127.0.0.1:{port}", stages


def report(tally: Tally, console: Console) -> bool:
    """Print what was answered; whether all holds."""
    for (route, status), count in sorted(tally.statuses.items()):
        console.print(f"{route:<12} {status}  {count:>8,}")
    seconds = sorted(tally.seconds) or [0.0]
    quantiles = {share: seconds[min(int(len(seconds) * share), len(seconds) - 1)] for share in (0.5, 0.99)}
    console.print(f"{len(seconds):,} answers, p50 {quantiles[0.5] * 1000:.0f} ms, p99 {quantiles[0.99] * 1000:.0f} ms")
    console.print(f"{len(tally.accepted):,} accepted jobs without an outcome, {len(tally.wrong):,} answers that must not be")
    for what in tally.wrong[:10]:
        console.print(f"  {what}", markup=False)
    return not tally.wrong and not tally.accepted and any(status == 200 for _, status in tally.statuses)


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.clients", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    tally, console = Tally(), Console()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as (_, url, stages):
        asyncio.run(ask_all(url, tally, options.clients, options.minutes * 60, stages["worker-1"]))
    holds = report(tally, console)
    console.print("all holds" if holds else "IT DOES NOT HOLD")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
