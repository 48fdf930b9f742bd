"""The traffic of a chaos run: a seeded stream of jobs, single and in bulk, some beyond reading, some that kill their worker.

The publisher sends them at a steady rate and tells the ledger what the broker has confirmed, and only that.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline.settings import Settings
from schemas.codes import Code, Verdict
from tests.acceptance.ledger import DEAD, RESULT, Expected, Ledger

CLIENT_ID: Final = "chaos"
"""How the publisher names itself to brokers and proxies."""
POISON: Final = "kaboom"
"""A worker dies when it is to score a text with this word."""
POISON_EVERY_S: Final = 40
"""Each costs five deaths and as many starts."""
ON_THE_WAY_MAX: Final = 20_000
"""Jobs sent and not confirmed; then sending waits."""
_BULK: Final = (5, 40)
_SHARE_SINGLE, _SHARE_MALFORMED = 0.85, 0.02
"""Of records, and of jobs."""
_DELIVERY_S: Final = 180
"""A record may wait so long for a broker that is down: longer than a busy machine takes to start one."""

Job = dict[str, Any]

_TEXTS: Final = (
    (40, "hello friend", Verdict.ALLOW),
    (10, "你 好 friend", Verdict.ALLOW),
    (20, "you idiot", Verdict.BLOCK),
    (5, "I will kill you", Verdict.BLOCK),
    (5, "the casino is open", Verdict.REVIEW),
    (1, "filler " * 300, Verdict.ALLOW),
    (1, "filler " * 200 + "moron", Verdict.BLOCK),
)
"""How often, what, and what must come of it; the long ones take several windows."""

_BAD_JOBS: Final[tuple[tuple[dict[str, Any], Code], ...]] = (
    ({"colour": "red"}, Code.UNKNOWN_FIELD),
    ({"version": 9}, Code.UNSUPPORTED_VERSION),
    ({"text": 7}, Code.INVALID_FIELD),
    ({"text": " \t "}, Code.EMPTY_TEXT),
    ({"text": "half of a pair: \ud800"}, Code.LONE_SURROGATE),
    ({"task": "poetry"}, Code.UNKNOWN_TASK),
    ({"reply_to": "elsewhere"}, Code.REPLY_TO_NOT_ALLOWED),
)
"""What is changed in a good job, and the code of its dead letter; these may stand in a bulk record."""

_BAD_RECORDS: Final[tuple[tuple[Callable[[str], bytes | None], Code], ...]] = (
    (lambda job_id: b'{"job_id": "%s", "text": "cut o' % job_id.encode(), Code.MALFORMED_JSON),
    (lambda _: b'{"text": "\xff\xfe', Code.INVALID_UTF8),
    (lambda _: b"[" * 100_000, Code.MALFORMED_JSON),
    (lambda _: None, Code.EMPTY_RECORD),
)


@dataclass(frozen=True, slots=True)
class Sent:
    """A record of the jobs topic and what must become of its jobs."""

    key: bytes | None
    value: bytes | None
    jobs: dict[str, Expected]


def stream(seed: int, rate: float, *, poison: bool) -> Iterator[Sent]:
    """Records without end; the same for the same arguments."""
    dice = random.Random(seed)
    count, poison_at = 0, rate * POISON_EVERY_S / 2
    while True:
        poisoned = poison and count >= poison_at
        poison_at += rate * POISON_EVERY_S if poisoned else 0
        if dice.random() < _SHARE_SINGLE:
            sent = _single(f"{seed}-{count}", dice, poisoned=poisoned)
        else:
            sent = _bulk([f"{seed}-{number}" for number in range(count, count + dice.randint(*_BULK))], dice, poisoned=poisoned)
        count += len(sent.jobs)
        yield sent


def _single(job_id: str, dice: random.Random, *, poisoned: bool) -> Sent:
    if not poisoned and dice.random() < _SHARE_MALFORMED / 2:
        make, code = dice.choice(_BAD_RECORDS)
        return Sent(job_id.encode(), make(job_id), {job_id: Expected(DEAD, code)})
    job, expected = _job(job_id, dice, poisoned=poisoned)
    return Sent(job_id.encode(), json.dumps(job).encode(), {job_id: expected})


def _bulk(ids: list[str], dice: random.Random, *, poisoned: bool) -> Sent:
    made = {job_id: _job(job_id, dice, poisoned=poisoned and job_id == ids[0]) for job_id in ids}
    value = json.dumps([job for job, _ in made.values()]).encode()
    return Sent(None, value, {job_id: expected for job_id, (_, expected) in made.items()})


def _job(job_id: str, dice: random.Random, *, poisoned: bool) -> tuple[Job, Expected]:
    if poisoned:
        return {"job_id": job_id, "text": f"hello {POISON} friend"}, Expected(DEAD, Code.WORKER_CRASHED)
    ((_, text, verdict),) = dice.choices(_TEXTS, [row[0] for row in _TEXTS])
    job = {"job_id": job_id, "text": text, "created_at": "2026-01-01T00:00:00Z", "metadata": {"number": dice.random()}}
    if dice.random() < _SHARE_MALFORMED:
        change, code = dice.choice(_BAD_JOBS)
        return job | change, Expected(DEAD, code)
    return job, Expected(RESULT, verdict)


class Publisher:
    """A context manager: publishes from a thread until `stop`."""

    def __init__(self, settings: Settings, ledger: Ledger, *, seed: int, rate: float, poison: bool) -> None:
        self._settings = settings
        self._ledger = ledger
        self._stream = stream(seed, rate, poison=poison)
        self._rate = rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.error: BaseException | None = None
        self.seconds = 0.0

    def __enter__(self) -> Self:
        ours = {"client_id": CLIENT_ID, "delivery_timeout_ms": _DELIVERY_S * 1000}
        self._producer = KafkaProducer(**(options.producer(self._settings) | ours))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join()
        with suppress(KafkaError):
            self._producer.close(timeout=5)

    def stop(self) -> None:
        """Send no more; returns when the ledger knows of every delivery, or after a while; raises what went wrong."""
        self._stopping.set()
        self._thread.join()
        with suppress(KafkaError):  # the ledger tells what is still on the way
            self._producer.flush(timeout=_DELIVERY_S)
        if self.error:
            raise self.error

    def _run(self) -> None:
        began = time.monotonic()
        try:
            self._publish(began)
        except Exception as error:  # noqa: BLE001 (handed to whoever stops)
            self.error = error
        self.seconds = time.monotonic() - began

    def _publish(self, began: float) -> None:
        count = 0
        for sent in self._stream:
            wait_s = began + count / self._rate - time.monotonic()
            while wait_s > 0 or self._ledger.on_the_way > ON_THE_WAY_MAX:
                if self._stopping.wait(max(wait_s, 0.05)):
                    return
                wait_s = 0
            self._send(sent)
            count += len(sent.jobs)
            if self._stopping.is_set():
                return

    def _send(self, sent: Sent) -> None:
        self._ledger.offer(sent.jobs)
        try:
            future = self._producer.send(self._settings.jobs_topic, sent.value, key=sent.key)
        except KafkaError:
            self._ledger.refuse(sent.jobs)
            return
        future.add_callback(lambda _: self._ledger.accept(sent.jobs))
        future.add_errback(lambda _: self._ledger.refuse(sent.jobs))
