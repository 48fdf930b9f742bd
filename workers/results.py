"""Results and dead letters as records, for every topic that wants them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from importlib.metadata import version
from typing import Final

from pydantic_core import to_json, to_jsonable_python

from pipeline import metrics
from pipeline.decide import LabelRow
from pipeline.outgoing import Outgoing
from pipeline.policies import unscored_verdict
from pipeline.policy_book import PolicyBook
from pipeline.settings import Settings
from pipeline.tracing import trace_headers
from schemas.base import timestamp_from_ms
from schemas.bundles import BundleManifest
from schemas.codes import Verdict
from schemas.dead_letters import DeadLetter, Original, RawBytes
from schemas.errors import MessageError
from schemas.jobs import TextJob
from schemas.policies import WordHits
from schemas.results import ModelRef, PolicyRef
from schemas.work import Source, WorkItem

_BASE64_GROWTH: Final = 0.7
"""Share of a record that original bytes may take, so that they fit in base64 with all the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A job with its verdict; times in Unix milliseconds."""

    item: WorkItem
    verdict: Verdict
    labels: Sequence[LabelRow]
    words: WordHits | None = None
    policy: PolicyRef
    tokens_scored: int
    windows: int
    attempt: int
    packed_ms: int
    started_ms: int


class Recorder:
    """Writes for one model."""

    def __init__(
        self, settings: Settings, manifest: BundleManifest, model: ModelRef, policies: PolicyBook, clock_ms: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._model = model
        self._model_row = model.model_dump()
        self._done = cache(partial(metrics.JOBS_DONE.labels, model.name))
        self._policies = policies
        self._tokenizer_sha256 = manifest.tokenizer.sha256
        self._clock_ms = clock_ms
        self._versions = {"llmos": version("llmos"), model.name: model.release}

    def results(self, scored: Scored) -> Iterator[Outgoing]:
        """The result, for the results topic, for the flagged topic where it is flagged, and for the reply topic if asked."""
        now_ms, job = self._clock_ms(), scored.item.job
        key, value = job.job_id.encode(), to_json(self._result(scored, now_ms), inf_nan_mode="null")
        self._done(scored.verdict, self._policies.label(job.tenant)).inc()
        metrics.JOB_SECONDS.observe(max(now_ms - scored.item.accepted_ms, 0) / 1000)
        headers = trace_headers(scored.item.traceparent)
        yield Outgoing(self._settings.results_topic, key, value, headers=headers)
        if scored.verdict is not Verdict.ALLOW:
            yield Outgoing(self._settings.flagged_topic, key, value, headers=headers)
        yield from self._reply(scored.item, key, value)

    def bury(self, item: WorkItem, error: MessageError, attempts: int) -> Iterator[Outgoing]:
        """The dead letter of one job, after so many attempts here; it holds the job as the jobs topic takes it."""
        original = Original(
            key=RawBytes.of(item.job.job_id.encode()), value=self._raw(item.job.__pydantic_serializer__.to_json(item.job))
        )
        letter = self._letter(error, item.source, original, item.tried + attempts, item.job)
        key, value = item.job.job_id.encode(), letter.__pydantic_serializer__.to_json(letter)
        yield Outgoing(self._settings.dead_letters_topic, key, value, headers=trace_headers(item.traceparent))
        yield from self._reply(item, key, value)

    def bury_record(self, source: Source, record: bytes, error: MessageError, tried: int = 0) -> Iterator[Outgoing]:
        """The dead letter of a whole record that cannot be taken apart, and was `tried` before it was replayed."""
        letter = self._letter(error, source, Original(value=self._raw(record)), tried + 1, None)
        yield Outgoing(self._settings.dead_letters_topic, None, letter.__pydantic_serializer__.to_json(letter))

    def _raw(self, value: bytes) -> RawBytes:
        return RawBytes.of(value, int(self._settings.record_bytes_max * _BASE64_GROWTH))

    def _reply(self, item: WorkItem, key: bytes, value: bytes) -> Iterator[Outgoing]:
        if item.job.reply_to:
            yield Outgoing(item.job.reply_to, key, value, optional=True, headers=trace_headers(item.traceparent))

    def _letter(self, error: MessageError, source: Source, original: Original, attempts: int, job: TextJob | None) -> DeadLetter:
        metrics.JOBS_DEAD.labels("worker", error.code).inc()
        return DeadLetter(
            job_id=job.job_id if job else None,
            code=error.code,
            stage="worker",
            reason=error.reason,
            source=source,
            original=original,
            attempts=attempts,
            versions=self._versions,
            reply_to=job.reply_to if job else None,
            unscored_verdict=unscored_verdict(self._policies.current, job.tenant if job else None),
            failed_at=timestamp_from_ms(self._clock_ms()),
        )

    def _result(self, scored: Scored, now_ms: int) -> dict[str, object]:
        """An InferenceResult as plain data, its fields in their order: building the models took half of the time."""
        item, job = scored.item, scored.item.job
        words = {} if scored.words is None else {"words": scored.words}
        return {
            "version": 1,
            "job_id": job.job_id,
            "task": job.task,
            "tenant": job.tenant,
            "verdict": str(scored.verdict),
            "labels": scored.labels,
            "signals": item.signals,
            **words,
            "language": item.language,
            "model": self._model_row,
            "policy": vars(scored.policy),
            "tokenizer_sha256": self._tokenizer_sha256,
            "coverage": {"tokens_total": item.tokens_total, "tokens_scored": scored.tokens_scored, "windows": scored.windows},
            "created_at": job.created_at,
            "metadata": job.metadata,
            "attempt": scored.attempt,
            "timings": {
                "wait_ms": float(item.received_ms - item.accepted_ms),
                "preprocess_ms": float(scored.packed_ms - item.received_ms),
                "queue_ms": float(scored.started_ms - scored.packed_ms),
                "infer_ms": float(now_ms - scored.started_ms),
                "total_ms": float(now_ms - item.accepted_ms),
                "completed_at": _written(now_ms),
            },
        }


@lru_cache(1)  # many results are of the same millisecond
def _written(unix_ms: int) -> str:
    written: str = to_jsonable_python(timestamp_from_ms(unix_ms))
    return written
