"""A desk that answers at once, from words in the text: what the gateway's parts are tested with, without Kafka."""

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.gateway.contract import Outcome, Sink
from schemas.codes import Code, Verdict
from schemas.dead_letters import DeadLetter, Original, RawBytes
from schemas.jobs import TextJob
from schemas.results import Coverage, InferenceResult, LabelScore, ModelRef, PolicyRef, Timings
from schemas.work import Source
from tests.support.toy import LABELS, WORDS

HIGH, LOW = 0.982, 0.018
SHA = "0" * 64
MOMENT = datetime(2026, 11, 25, tzinfo=UTC)


class FakeDesk:
    """Scores by the toy's words. A text that holds BURY becomes a dead letter; `failure` is raised instead of an answer."""

    def __init__(self, sinks: Sequence[Sink] = ()) -> None:
        self.sinks = sinks
        self.asked: list[TextJob] = []
        self.failure: Exception | None = None
        self.held = False
        """While set, what is handed over gets no outcome; `release` gives it."""
        self.waiting: list[TextJob] = []

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        assert wait_s is None or wait_s > 0
        self._note(jobs)
        outcomes = [outcome_of(job) for job in jobs]
        for sink in self.sinks:
            sink.take(outcomes)
        return outcomes

    async def hand_over(self, jobs: Sequence[TextJob]) -> None:
        self._note(jobs)
        self.waiting.extend(jobs)
        if not self.held:
            self.release()

    def release(self) -> None:
        """Give everything that waits its outcome."""
        outcomes = [outcome_of(job) for job in self.waiting]
        self.waiting.clear()
        for sink in self.sinks:
            sink.take(outcomes)

    def _note(self, jobs: Sequence[TextJob]) -> None:
        if self.failure:
            raise self.failure
        self.asked.extend(jobs)


def outcome_of(job: TextJob) -> Outcome:
    """The toy's answer: high scores for the labels of the words in the text, block where there is one, and zh for Chinese."""
    if "BURY" in job.text:
        value = dead_letter(job).model_dump_json()
        return Outcome(job.job_id, value.encode(), dead=True)
    return Outcome(job.job_id, result(job).model_dump_json().encode(), dead=False)


def result(job: TextJob) -> InferenceResult:
    """The result of a job as the toy would give it."""
    found = {label for word, labels in WORDS.items() if word in job.text.casefold() for label in labels}
    return InferenceResult(
        job_id=job.job_id,
        task=job.task,
        tenant=job.tenant,
        verdict=Verdict.BLOCK if found else Verdict.ALLOW,
        labels=tuple(_label(name, high=name in found) for name in LABELS),
        language=job.language or ("zh" if any("\u4e00" <= letter <= "\u9fff" for letter in job.text) else "en"),
        model=ModelRef(name="toy", release="1.0.0", precision="fp32", sha256=SHA),
        policy=PolicyRef(name=job.tenant, release="1", sha256=SHA),
        tokenizer_sha256=SHA,
        coverage=Coverage(tokens_total=1, tokens_scored=1, windows=1),
        created_at=job.created_at,
        metadata=job.metadata,
        timings=Timings(wait_ms=1, preprocess_ms=1, queue_ms=1, infer_ms=1, total_ms=4, completed_at=MOMENT),
    )


def _label(name: str, *, high: bool) -> LabelScore:
    score = HIGH if high else LOW
    return LabelScore(label=name, raw_score=score, score=score, over_threshold=high)


def dead_letter(job: TextJob, code: Code = Code.EMPTY_TEXT) -> DeadLetter:
    """The dead letter of a job."""
    return DeadLetter(
        job_id=job.job_id,
        code=code,
        stage="preprocess",
        reason="nothing is left to score",
        source=Source(topic="llmos.jobs", partition=0, offset=0),
        original=Original(value=RawBytes.of(job.model_dump_json().encode())),
        attempts=1,
        versions={"llmos": "0"},
        failed_at=MOMENT,
    )
