"""Sends canaries through the queue and waits for their answers: once for a person, or again and again for `Readiness`."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Final, Self

from pipeline import metrics
from pipeline.canary import Answer, Kind, canary_jobs, said_by
from pipeline.publish import JobPublisher
from pipeline.read import Reader
from pipeline.ready import Readiness
from pipeline.settings import Settings
from schemas.errors import LLMOSError

_LOG = logging.getLogger(__name__)
LOOK_S: Final = 0.2
"""How often a prober looks whether the process has taken up its work: before that no canary could come through."""
STOP_S: Final = 1
"""How long a stop waits for the prober: it may hang on a broker that is away."""
REQUEST_SHARE: Final = 0.8
"""Of the time that a canary has, for one request to the broker: kafka-python wants a delivery to take longer than that."""
NOT_SENT: Final = "canaries cannot be sent or read: the log says why"
"""The reason itself may name addresses inside the house."""


class Canaries:
    """A context manager, for one thread: a producer, and a reader of the canary topic.

    Entering raises TransientError where no broker answers, ConfigurationError where the topic or a right is missing.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._reader = Reader(settings, [settings.canary_topic])
        self._publisher = JobPublisher(settings, client=_client(settings))
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._reader)
            self._reader.seek_end()
            stack.enter_context(self._publisher)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, trace)

    def ask(self) -> list[Answer]:
        """Send one canary of each kind and wait for both answers, for `canary_within_s` at most; raises as entering does."""
        began = self._clock()
        waiting: dict[str, Kind] = {}
        for kind, job in canary_jobs(self._settings).items():
            waiting[job.job_id] = kind
            self._publisher.publish(job)
        answers: list[Answer] = []
        while waiting and self._clock() - began < self._settings.canary_within_s:
            records, seconds = self._reader.poll(), self._clock() - began
            ours = [(asked, record) for record in records if (asked := waiting.pop(_job_id(record), None))]
            answers += [Answer(asked, said_by(record.value) or "no outcome", seconds) for asked, record in ours]
        return answers + [Answer(kind, None, self._settings.canary_within_s) for kind in waiting.values()]


def _job_id(record: Any) -> str:  # noqa: ANN401 (kafka-python is untyped)
    return record.key.decode(errors="replace") if record.key else ""


def _client(settings: Settings) -> dict[str, object]:
    within_ms = settings.canary_within_s * 1000
    return {
        "linger_ms": 0,
        "delivery_timeout_ms": within_ms,
        "request_timeout_ms": min(settings.kafka_request_timeout_ms, int(within_ms * REQUEST_SHARE)),
        "max_block_ms": within_ms,
        # kafka-python 3.0.12 never sends again once it gave up on a batch that carried a number. A repeated canary is harmless.
        "enable_idempotence": False,
    }


class Prober:
    """Asks every `canary_every_s` while the process is up, from `start` to `stop`, and tells `readiness` and the metrics."""

    def __init__(
        self,
        settings: Settings,
        readiness: Readiness,
        canaries: Callable[[Settings], Canaries] = Canaries,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._readiness = readiness
        self._canaries = canaries
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prober", daemon=True)
        self._said: Sequence[str] | None = None

    def start(self) -> None:
        """Ask from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_S):
            if not self._readiness.up:
                continue
            began = self._clock()
            try:
                self._session()
            except Exception as error:  # noqa: BLE001 (a prober that ends unheard would leave the last answer standing)
                self._failed(error, self._clock() - began)

    def _session(self) -> None:
        """One connection, until an answer is wrong: a client that hears nothing may be stuck itself."""
        with self._canaries(self._settings) as canaries:
            right = True
            while right and self._readiness.up and not self._stopping.is_set():
                began = self._clock()
                right = self._told(canaries.ask())
                self._pause(self._clock() - began)

    def _told(self, answers: Sequence[Answer]) -> bool:
        for answer in answers:
            metrics.CANARY_OK.labels(answer.kind).set(answer.right)
            if answer.said is not None:
                metrics.CANARY_SECONDS.labels(answer.kind).observe(answer.seconds)
        troubles = [trouble for answer in answers if (trouble := answer.trouble)]
        self._say(troubles)
        return not troubles

    def _failed(self, error: Exception, took_s: float) -> None:
        for kind in Kind:
            metrics.CANARY_OK.labels(kind).set(0)
        self._say([NOT_SENT])
        known = isinstance(error, LLMOSError)
        _LOG.log(logging.WARNING if known else logging.ERROR, "canaries: %s", error, exc_info=None if known else error)
        self._pause(took_s)

    def _say(self, troubles: Sequence[str]) -> None:
        self._readiness.heard(troubles)
        if troubles and troubles != self._said:
            _LOG.warning("not ready: %s", "; ".join(troubles))
        elif not troubles and self._said != troubles:
            _LOG.info("canaries got the right answers")
        self._said = troubles

    def _pause(self, took_s: float) -> None:
        self._stopping.wait(max(0, self._settings.canary_every_s - took_s))


@contextmanager
def probing(settings: Settings, readiness: Readiness) -> Iterator[None]:
    """A prober inside, where canaries are on."""
    if not settings.canary_every_s:
        yield
        return
    prober = Prober(settings, readiness)
    prober.start()
    try:
        yield
    finally:
        prober.stop()
