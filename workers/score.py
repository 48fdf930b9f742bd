"""The whole of a worker on one screen: work batches in, results and dead letters out. Pure but for the model and the clock.

windows → logits → probabilities → folded → calibrated → verdict, with the words found → result
                 └── a job whose window failed ──────────→ dead letter
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite

import numpy as np

from pipeline import metrics
from pipeline.bundles import Bundle
from pipeline.decide import calibrate, decide_rounded, rounded
from pipeline.outgoing import Outgoing
from pipeline.policies import LoadedPolicy, policy_of
from pipeline.policy_book import PolicyBook
from pipeline.text.normalise import normalise
from schemas.codes import Code
from schemas.errors import MessageError
from schemas.policies import WordHits
from schemas.work import Source, WorkBatch, WorkItem
from workers.fold import Floats, fold_all, probabilities, tokens_covered
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
    item: WorkItem
    windows: list[Window]
    lengths: list[int]
    packed_ms: int
    attempt: int


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
        self._names = [label.name for label in spec.labels]
        self._spread = metrics.SCORE.columns(*((spec.name, label.name) for label in spec.labels))
        self._parts = metrics.STAGE_SECONDS.columns(("queue",), ("infer",))

    def score(self, records: Sequence[WorkRecord]) -> list[Outgoing]:
        """What the records lead to, every job exactly once; raises TransientError for a lost device."""
        policies = self._policies.refresh()
        started_ms = self._clock_ms()
        outgoing: list[Outgoing] = []
        jobs: list[_Job] = []
        for record in records:
            if (error := self._why_not(record)) is None:
                jobs.extend(_jobs(record))
            else:
                outgoing.extend(self._refused(record, error))
        if jobs:
            outgoing.extend(self._judged(jobs, policies, started_ms))
            self._measure(jobs, started_ms)
        return outgoing

    def _judged(self, jobs: Sequence[_Job], policies: Mapping[str, LoadedPolicy], started_ms: int) -> Iterator[Outgoing]:
        raw = self._raw_scores(jobs)
        scores = calibrate(raw, self._manifest.labels)
        self._spread.observe(scores)
        for job, one_raw, one_score in zip(jobs, rounded(raw), rounded(scores), strict=True):
            yield from self._finish(job, policies, one_raw, one_score, started_ms)

    def _measure(self, jobs: Sequence[_Job], started_ms: int) -> None:
        infer_ms = self._clock_ms() - started_ms
        queue_ms = started_ms - np.array([job.packed_ms for job in jobs])
        self._parts.observe(np.column_stack((queue_ms, np.full_like(queue_ms, infer_ms))) / 1000)

    def _why_not(self, record: WorkRecord) -> MessageError | None:
        if isinstance(record.batch, MessageError):
            return record.batch
        spec = self._manifest.tokenizer
        if record.batch.tokenizer_sha256 != spec.sha256:
            return MessageError(Code.TOKENIZER_MISMATCH, "the batch was made with another tokenizer than the model's")
        if record.batch.tokens.max(initial=0) >= spec.vocabulary_size:
            return MessageError(Code.WORK_CORRUPT, f"a token id is beyond the vocabulary of {spec.vocabulary_size:,}")
        return None

    def _refused(self, record: WorkRecord, error: MessageError) -> Iterator[Outgoing]:
        if isinstance(record.batch, MessageError):
            yield from self._recorder.bury_record(record.source, record.value, error, record.tried)
            return
        for item in record.batch.description.items:
            yield from self._recorder.bury(item, error, record.attempt)

    def _raw_scores(self, jobs: Sequence[_Job]) -> Floats:
        logits = self._inference.logits([window for job in jobs for window in job.windows])
        windows = probabilities(logits, self._manifest.head)
        return fold_all(windows, [job.lengths for job in jobs], self._manifest.labels)

    def _finish(
        self, job: _Job, policies: Mapping[str, LoadedPolicy], raw: Sequence[float], scores: Sequence[float], started_ms: int
    ) -> Iterator[Outgoing]:
        if not all(map(isfinite, raw)):
            failed = MessageError(Code.INFERENCE_FAILED, "the model failed on this text alone")
            return self._recorder.bury(job.item, failed, job.attempt)
        try:
            loaded = policy_of(policies, job.item.job.tenant)
        except MessageError as error:
            return self._recorder.bury(job.item, error, job.attempt)
        words = _words(job.item, loaded)
        verdict, labels = decide_rounded(raw, scores, self._names, loaded.policy, job.item.language, words)
        scored = Scored(
            item=job.item,
            verdict=verdict,
            labels=labels,
            words=words,
            policy=loaded.ref,
            tokens_scored=tokens_covered(job.lengths, self._manifest.windows),
            windows=len(job.windows),
            attempt=job.attempt,
            packed_ms=job.packed_ms,
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


def _jobs(record: WorkRecord) -> Iterator[_Job]:
    assert isinstance(record.batch, WorkBatch), "refused records hold no jobs"
    batch, description = record.batch, record.batch.description
    lengths = batch.lengths.tolist()
    windows = [batch.tokens[end - length : end] for end, length in zip(accumulate(lengths), lengths, strict=True)]
    at = 0
    for item, count in zip(description.items, batch.windows.tolist(), strict=True):
        of_job = slice(at, at + count)
        yield _Job(item, windows[of_job], lengths[of_job], description.packed_ms, record.attempt)
        at += count
