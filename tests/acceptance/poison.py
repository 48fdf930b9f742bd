"""Poison of every kind amid many good jobs: `python -m tests.acceptance.poison --help`

Publishes jobs of which a share is poisonous, each kind in turn, and damaged work batches beside them; starts the worker again
whenever a text has killed it; then every good job must have its result, every bad one its dead letter with the right code, and
nothing else. Exit code 0 only if all holds.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer

from pipeline.read import Reader
from pipeline.topics import create_topics, work_topics
from schemas.codes import Code
from schemas.dead_letters import DeadLetter
from schemas.jobs import TEXT_BYTES_MAX
from tests.support.brokers import any_broker
from tests.support.ledger import raw_producer
from tests.support.malformed import JOBS, RECORDS
from tests.support.processes import Installation, Stage, installation
from tests.support.toy import NAME, make_toy_models

DEADLY, FAILING = "detonate", "moron"
"""Words of texts that kill the worker, and on which the model raises."""
ODD: Final = (
    ("NUL", "you id\0iot"),
    ("right-to-left override", "you \u202eidiot\u202c"),
    ("10,000 combining marks", "hello " + "a" + "\u0301" * 10_000),
    ("1 MiB of one character", "a" * TEXT_BYTES_MAX),
    ("no characters", "\uffff\ufdd0 idiot"),
)
"""Odd texts that are scored all the same."""
GOOD: Final = ("hello friend", "you idiot", "你好 hello", "casino casino", "filler " * 40)
IDLE_S: Final = 90
"""So long without any outcome, and what is missing is lost."""
BULK: Final = 50

Place = tuple[str, int, int]


@dataclass
class Books:
    """What was sent and what came of it; raw records are known by their place, jobs by their id."""

    sent: dict[str, tuple[str, Code | None]] = field(default_factory=dict)
    sent_raw: dict[Place, tuple[str, Code]] = field(default_factory=dict)
    results: Counter[str] = field(default_factory=Counter)
    dead: dict[str, Code] = field(default_factory=dict)
    dead_raw: dict[Place, Code] = field(default_factory=dict)
    invented: list[str] = field(default_factory=list)

    def take(self, record: Any, dead_letters: str) -> None:
        """One record of the results or the dead letters."""
        if record.topic != dead_letters:
            self._known(json.loads(record.value)["job_id"], self.results)
            return
        letter = DeadLetter.model_validate_json(record.value)
        place = (letter.source.topic, letter.source.partition, letter.source.offset)
        if letter.job_id in self.sent:
            self.dead[letter.job_id] = letter.code
        elif place in self.sent_raw:
            self.dead_raw[place] = letter.code
        else:
            self.invented.append(str(letter.job_id or place))

    def _known(self, job_id: str, counts: Counter[str]) -> None:
        if job_id in self.sent:
            counts[job_id] += 1
        else:
            self.invented.append(job_id)

    @property
    def missing(self) -> int:
        """Jobs and records without an outcome."""
        return len(self.sent.keys() - self.results.keys() - self.dead.keys()) + len(self.sent_raw.keys() - self.dead_raw.keys())

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """How many of each kind were sent, and how many of them ended as they must."""
        sent: Counter[str] = Counter()
        right: Counter[str] = Counter()
        for job_id, (kind, code) in self.sent.items():
            sent[kind] += 1
            right[kind] += self.dead.get(job_id) == code and (job_id in self.results) is (code is None)
        for place, (kind, code) in self.sent_raw.items():
            sent[kind] += 1
            right[kind] += self.dead_raw.get(place) == code
        return {kind: (count, right[kind]) for kind, count in sent.items()}


def poison(killers: int) -> Iterator[tuple[str, dict[str, Any] | bytes | None, Code | None]]:
    """(kind, job or raw record, its code) without end, each kind in turn; no more than so many that kill the worker."""
    jobs = [*JOBS, *((kind, {"text": text}, None) for kind, text in ODD)]
    jobs.append(("the model raises", {"text": f"you {FAILING}"}, Code.INFERENCE_FAILED))
    deadly = ("the process dies", {"text": f"hello {DEADLY}"}, Code.WORKER_CRASHED)
    while True:
        if killers:
            yield deadly
            killers -= 1
        yield from jobs
        yield from RECORDS
        yield "larger than the limit", b'{"text": "' + b"a " * (5 << 20) + b'"}', Code.RECORD_TOO_LARGE


class Sender:
    """Publishes and writes down."""

    def __init__(self, place: Installation, books: Books, producer: KafkaProducer) -> None:
        self._topic = place.settings.jobs_topic
        self._books = books
        self._producer = producer
        self._bulk: list[dict[str, Any]] = []
        self._count = 0

    def good(self, text: str) -> None:
        """A job that must succeed, in a bulk record."""
        self._bulk.append(self._named("good", {"text": text}, None))
        if len(self._bulk) >= BULK:
            self.flush()

    def bad(self, kind: str, what: dict[str, Any] | bytes | None, code: Code | None) -> None:
        """A poisonous one: jobs amid the good ones of a bulk record where they fit, raw records on their own."""
        if isinstance(what, dict):
            job = self._named(kind, what, code)
            if len(str(what.get("text", ""))) < TEXT_BYTES_MAX // 4:
                self._bulk.append(job)
            else:
                self._send(_dump(job))
            return
        assert code is not None, "a raw record never succeeds"
        headers = [("twice", b"1"), ("twice", b"\xff")]
        self.raw(kind, code, self._topic, what, headers)

    def raw(self, kind: str, code: Code, topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """A record that is known by its place."""
        found = self._producer.send(topic, value, key=b"x", headers=list(headers)).get(30)
        self._books.sent_raw[(topic, found.partition, found.offset)] = (kind, code)

    def flush(self) -> None:
        """Send what waits for company."""
        if self._bulk:
            self._send(_dump(self._bulk))
            self._bulk = []

    def _named(self, kind: str, job: dict[str, Any], code: Code | None) -> dict[str, Any]:
        self._count += 1
        job_id = f"{kind}-{self._count}"
        self._books.sent[job_id] = (kind, code)
        return {"job_id": job_id, **job}

    def _send(self, value: bytes) -> None:
        self._producer.send(self._topic, value)


def _dump(value: Any) -> bytes:
    return json.dumps(value).encode()


def run(jobs: int, share: float, killers: int, folder: Path) -> Books:
    """Everything from the broker to the last outcome."""
    models = make_toy_models(folder / "toy")
    failing = Tokenizer.from_file(str(Path(models["LLMOS_MODELS_DIR"]) / NAME / "tokenizer.json")).token_to_id(FAILING)
    faults = {"LLMOS_TEST_FAULTS": f"crash:{DEADLY};fail:{failing}"}
    (folder / "place").mkdir()
    with any_broker(folder / "state") as broker:
        ours = {"LLMOS_TOPIC_PREFIX": f"poison-{uuid4().hex[:8]}", "LLMOS_WORKER_PROVIDER": "cpu"}
        with installation({**broker, **models, **ours}, folder / "place") as place:
            create_topics(place.settings)
            _, worker = place.start_both(**faults)
            books = Books()
            with Reader(place.settings, [place.settings.results_topic, place.settings.dead_letters_topic]) as reader:
                reader.seek_start()
                _publish(place, books, jobs, share, killers)
                _collect(books, reader, place.settings.dead_letters_topic, worker)
            return books


def _publish(place: Installation, books: Books, jobs: int, share: float, killers: int) -> None:
    dice = random.Random(1)
    bad = poison(killers)
    (work_topic,) = work_topics(place.settings).values()
    with raw_producer(place.settings) as producer:
        sender = Sender(place, books, producer)
        for number in range(jobs):
            if dice.random() < share:
                sender.bad(*next(bad))
            else:
                sender.good(dice.choice(GOOD))
            if number % 5_000 == 0:
                for value in (b"LLMW\x01", bytes(200), None):
                    sender.raw("a damaged work batch", Code.WORK_CORRUPT, work_topic, value)
        sender.flush()


def _collect(books: Books, reader: Reader, dead_letters: str, worker: Stage) -> None:
    since = time.monotonic()
    while books.missing and time.monotonic() - since < IDLE_S:
        if not worker.alive:
            worker.launch()
        for record in reader.poll():
            books.take(record, dead_letters)
            since = time.monotonic()


def report(books: Books, console: Console) -> bool:
    """Print the table; whether all holds."""
    table = Table("kind", "sent", "ended as it must")
    for kind, (sent, right) in books.by_kind().items():
        table.add_row(kind, f"{sent:,}", f"{right:,}", style="" if sent == right else "red")
    console.print(table)
    repeats = sum(books.results.values()) - len(books.results)
    console.print(f"{books.missing:,} missing, {len(books.invented):,} invented, {repeats:,} results repeated")
    return not books.missing and not books.invented and all(sent == right for sent, right in books.by_kind().values())


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.poison", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--share", type=float, default=0.01, help="of poison among them (default 0.01)")
    parser.add_argument("--killers", type=int, default=3, help="texts that kill the worker, at most; each costs five deaths")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        books = run(options.jobs, options.share, options.killers, Path(folder))
    console = Console()
    holds = report(books, console)
    console.print("all holds" if holds else "IT DOES NOT HOLD")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
