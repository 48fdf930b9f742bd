"""Work for a toy worker: records of the work topic, and the parts of a worker that need no Kafka."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.bundles import Bundle, open_bundle
from pipeline.policy_book import PolicyBook
from pipeline.preprocess.tokenise import Tokenizer, cut_windows
from pipeline.settings import Settings
from schemas.jobs import TextJob
from schemas.results import ModelRef
from schemas.work import Source, WorkDescription, WorkItem, pack, unpack
from tests.support.toy import NAME
from workers.infer import Inference
from workers.results import Recorder
from workers.score import Scorer, WorkRecord
from workers.session import open_session

Run = Callable[[Any, Any], Any]
NOW_MS = 1_800_000_000_000


def job(text: str, job_id: str = "", **fields: Any) -> TextJob:
    """A job that is called as its text begins, unless it has another id."""
    return TextJob(job_id=job_id or text[:200], text=text, **fields)


def pack_jobs(bundle: Bundle, jobs: Sequence[TextJob]) -> bytes:
    """The jobs as preprocess packs them, without normalising."""
    spec = bundle.manifest
    ids = Tokenizer(bundle).encode_batch([one.text for one in jobs])
    items = tuple(_item(one, number, len(found)) for number, (one, found) in enumerate(zip(jobs, ids, strict=True)))
    windows = [cut_windows(found, spec.windows, spec.tokenizer.begin_id, spec.tokenizer.end_id) for found in ids]
    return pack(spec.tokenizer.sha256, WorkDescription(packed_ms=NOW_MS - 50, items=items), windows)


def _item(one: TextJob, number: int, tokens: int) -> WorkItem:
    source = Source(topic="llmos.jobs", partition=0, offset=0, index=number)
    return WorkItem(job=one, language="en", tokens_total=tokens, source=source, accepted_ms=NOW_MS - 100, received_ms=NOW_MS - 80)


def work_record(value: bytes, offset: int = 0, attempt: int = 1) -> WorkRecord:
    """What the loop makes of such a record."""
    return WorkRecord(Source(topic="llmos.work.toy", partition=0, offset=offset), value, unpack(value), attempt)


@dataclass
class ToyWorker:
    """A scorer over the toy model, its clock standing still; `run` stands in for the model where a test gives one."""

    settings: Settings
    run: Run | None = None

    def __post_init__(self) -> None:
        self.bundle = open_bundle(self.settings.models_dir / NAME)
        session = open_session(self.bundle, self.settings)
        spec = self.bundle.manifest
        self.inference = Inference(
            self.run or session.run, labels=len(spec.labels), pad_id=spec.tokenizer.pad_id, tokens_max=256, model=spec.name
        )
        model = ModelRef(name=spec.name, release=spec.release, precision="fp32", sha256=session.file.sha256)
        self.now_ms = NOW_MS
        self.policies = PolicyBook(self.settings.policies_dir)
        self.recorder = Recorder(self.settings, spec, model, self.policies, lambda: self.now_ms)
        self.scorer = Scorer(self.bundle, self.inference, self.policies, self.recorder, lambda: self.now_ms)

    @property
    def topic(self) -> str:
        """Where the worker's records lie."""
        return self.settings.work_topic(NAME, self.bundle.manifest.tokenizer.sha256)

    @property
    def group(self) -> str:
        """Its consumer group."""
        return self.settings.worker_group(NAME)

    def pack(self, *texts: str) -> bytes:
        """One record of jobs that are called as their texts are."""
        return pack_jobs(self.bundle, [job(text) for text in texts])
