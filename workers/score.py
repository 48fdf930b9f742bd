"""The whole of a worker on one screen: work batches in, results and dead letters out. Pure but for the model and the clock.

windows → logits → probabilities → folded → calibrated → verdict, with the words found → result
                 └── a job whose window failed ──────────→ dead letter
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline import metrics
from pipeline.bundles import Bundle
from pipeline.decide import calibrate, decide
from pipeline.outgoing import Outgoing
from pipeline.policies import LoadedPolicy, policy_of
from pipeline.policy_book import PolicyBook
from pipeline.text.normalise import normalise
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.policies import WordHits
from schemas.work import Source, WorkBatch, WorkItem
from workers.fold import Floats, fold, probabilities, tokens_covered
from workers.infer import Inference, Window
from workers.results import Recorder, Scored


@dataclass(frozen=True, slots=True)
class WorkRecord:
    """A record of the work topic; `batch` is what it holds, or why it holds nothing."""

    source: Source
    value: bytes
    batch: WorkBatch | MessageError
    attempt: int = 1
    tried: int = 0
    """Tries before the record was replayed; its jobs know their own."""


@dataclass(frozen=True, slots=True)
class _Job:
    record: WorkRecord
    item: WorkItem
    windows: list[Window]


class Scorer:
    """Scores records with one model under all policies."""

    def __init__(
        self,
        bundle: Bundle,
        inference: Inference,
        policies: PolicyBook,
        recorder: Recorder,
        clock_ms: Callable[[], int],
    ) -> None:
        self._manifest = bundle.manifest
        self._inference = inference
        self._policies = policies
        self._recorder = recorder
        self._clock_ms = clock_ms
        spec = bundle.manifest
        self._spread = metrics.SCORE.columns(*((spec.name, label.name) for label in spec.labels))
        self._parts = metrics.STAGE_SECONDS.columns(("queue",), ("infer",))

    def score(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        """What the records lead to, every job exactly once; raises TransientError for a lost device."""
        policies = self._policies.refresh()
        started_ms = self._clock_ms()
        outgoing = [out for record in records for out in self._refused(record)]
        jobs = [job for record in records if not self._why_not(record) for job in _jobs(record)]
        if jobs:
            raw = self._raw_scores(jobs)
            scores = calibrate(raw, self._manifest.labels)
            self._spread.observe(scores)
            for job, one_raw, one_score in zip(jobs, raw, scores, strict=True):
                outgoing.extend(self._finish(job, policies, one_raw, one_score, started_ms))
            self._measure(jobs, started_ms)
        return outgoing

    def _measure(self, jobs: Sequence[_Job], started_ms: int) -> None:
        infer_ms = self._clock_ms() - started_ms
        spent_ms = [(started_ms - _packed_ms(job), infer_ms) for job in jobs]
        self._parts.observe(np.divide(spent_ms, 1000))

    def _why_not(self, record: WorkRecord) -> MessageError | None:
        if isinstance(record.batch, MessageError):
            return record.batch
        spec = self._manifest.tokenizer
        if record.batch.tokenizer_sha256 != spec.sha256:
            return MessageError(Code.TOKENIZER_MISMATCH, "the batch was made with another tokenizer than the model's")
        if record.batch.tokens.max(initial=0) >= spec.vocabulary_size:
            return MessageError(Code.WORK_CORRUPT, f"a token id is beyond the vocabulary of {spec.vocabulary_size:,}")
        return None

    def _refused(self, record: WorkRecord) -> Iterator[Outgoing]:
        error = self._why_not(record)
        if error is None:
            return
        if isinstance(record.batch, MessageError):
            yield from self._recorder.bury_record(record.source, record.value, error, record.tried)
            return
        for item in record.batch.description.items:
            yield from self._recorder.bury(item, error, record.attempt)

    def _raw_scores(self, jobs: Sequence[_Job]) -> Floats:
        logits = self._inference.logits([window for job in jobs for window in job.windows])
        windows = probabilities(logits, self._manifest.head)
        ends = np.cumsum([len(job.windows) for job in jobs])
        parts = np.split(windows, ends[:-1])
        return np.stack(
            [
                fold(part, np.array([len(window) for window in job.windows]), self._manifest.labels)
                for job, part in zip(jobs, parts, strict=True)
            ]
        )

    def _finish(
        self, job: _Job, policies: Mapping[str, LoadedPolicy], raw: Floats, scores: Floats, started_ms: int
    ) -> Iterator[Outgoing]:
        if not np.isfinite(raw).all():
            failed = MessageError(Code.INFERENCE_FAILED, "the model failed on this text alone")
            return self._recorder.bury(job.item, failed, job.record.attempt)
        try:
            loaded = policy_of(policies, job.item.job.tenant)
        except MessageError as error:
            return self._recorder.bury(job.item, error, job.record.attempt)
        words = _words(job.item, loaded)
        verdict, labels = decide(raw, scores, self._manifest.labels, loaded.policy, job.item.language, words)
        covered = tokens_covered(np.array([len(window) for window in job.windows]), self._manifest.windows)
        scored = Scored(
            item=job.item,
            verdict=verdict,
            labels=labels,
            words=words,
            policy=loaded.ref,
            tokens_scored=covered,
            windows=len(job.windows),
            attempt=job.record.attempt,
            packed_ms=_packed_ms(job),
            started_ms=started_ms,
        )
        return self._recorder.results(scored)


def _words(item: WorkItem, loaded: LoadedPolicy) -> WordHits | None:
    """What the text holds of the policy's lists: as preprocess found it, or anew where that had another policy."""
    if loaded.phrases is None:
        return None
    if item.words_policy == loaded.ref.sha256:
        return item.words
    return loaded.phrases.find(normalise(item.job.text).text)


def _packed_ms(job: _Job) -> int:
    assert isinstance(job.record.batch, WorkBatch), "refused records hold no jobs"
    return job.record.batch.description.packed_ms


def _jobs(record: WorkRecord) -> Iterator[_Job]:
    assert isinstance(record.batch, WorkBatch), "refused records hold no jobs"
    windows = np.split(record.batch.tokens, np.cumsum(record.batch.lengths, dtype=np.int64)[:-1])
    at = 0
    for item, count in zip(record.batch.description.items, record.batch.windows.tolist(), strict=True):
        yield _Job(record, item, windows[at : at + count])
        at += count
