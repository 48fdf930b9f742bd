"""The whole of preprocess on one screen: records in, records out. Pure but for its clock, its guard's memory and its policies.

decode → prepare (validate · normalise · route · words · tokenise · cut) → pack → work records
   └────────────┴── whatever cannot go on ──────────────────────→ dead letters
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import Final

import numpy as np

from pipeline import metrics
from pipeline.dead_letter_guard import DeadLetterGuard
from pipeline.outgoing import Outgoing
from pipeline.policies import unscored_verdict
from pipeline.preprocess.decode import Accepted, JobRecord, Rejected, decode
from pipeline.preprocess.packing import pack_rows
from pipeline.preprocess.prepare import Prepared, Rules, prepare
from pipeline.replay_headers import tried_before
from pipeline.settings import Settings
from pipeline.tracing import trace_headers
from schemas.base import timestamp_from_ms
from schemas.codes import Code
from schemas.dead_letters import DeadLetter, Original, RawBytes, kept_headers
from schemas.errors import FatalError, MessageError, TransientError
from schemas.work import WorkItem

_LOG = logging.getLogger(__name__)
_VERSIONS: Final = {"llmos": version("llmos")}
_BASE64_GROWTH: Final = 0.7
"""Share of a record that original bytes may take, so that they fit in base64 with all the rest."""
_KEY_BYTES_MAX: Final = 64 << 10
"""Bytes kept of a key: that of a bulk record stands in each of its up to 500 dead letters."""


class Stage:
    """Preprocess as a function of records; one thread at a time may call it."""

    def __init__(self, settings: Settings, rules: Rules, clock_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._rules = rules
        self._clock_ms = clock_ms
        self._guard = DeadLetterGuard(settings)
        self._parts = metrics.STAGE_SECONDS.columns(("wait",), ("preprocess",))

    def run(self, records: Sequence[JobRecord]) -> list[Outgoing]:
        """What `records` lead to; a job that cannot go on becomes a dead letter, whatever is wrong with it.

        Raises DeadLetterLimitError where too many do, TransientError where the machine is short of something.
        """
        self._rules.policies.refresh()
        received_ms = self._clock_ms()
        decoded = [(record, outcome) for record in records for outcome in decode(record, self._settings.record_bytes_max)]
        accepted = [(record, outcome) for record, outcome in decoded if isinstance(outcome, Accepted)]
        prepared = self._prepare([outcome for _, outcome in accepted], received_ms)
        refused = [outcome for _, outcome in decoded if isinstance(outcome, Rejected)]
        refused += [
            _rejected(record, outcome, error)
            for (record, outcome), error in zip(accepted, prepared, strict=True)
            if isinstance(error, MessageError)
        ]
        rows = [row for row in prepared if isinstance(row, Prepared)]
        self._guard.count(len(rows), [rejected.error.code for rejected in refused])
        work = self._pack(rows)
        return [*work, *(record for rejected in refused for record in self._bury(rejected))]

    def _prepare(self, jobs: Sequence[Accepted], received_ms: int) -> list[Prepared | MessageError]:
        """`prepare` for all; where it breaks, for halves, until the job that breaks it is alone and refused."""
        try:
            return prepare(jobs, self._rules, received_ms)
        except (KeyboardInterrupt, TransientError, FatalError):
            raise
        except BaseException as error:  # whatever it is, even a panic in Rust, it must not reach the neighbours
            if len(jobs) > 1:
                half = len(jobs) // 2
                return self._prepare(jobs[:half], received_ms) + self._prepare(jobs[half:], received_ms)
            if isinstance(error, MemoryError | OSError):
                raise TransientError(f"the machine is short of something: {type(error).__name__}") from error
            _LOG.exception("preparing job %s failed", jobs[0].job.job_id)
            return [MessageError(Code.PREPROCESS_FAILED, f"{type(error).__name__} while preparing the text")]

    def _pack(self, rows: list[Prepared]) -> Iterator[Outgoing]:
        packed_ms = self._clock_ms()
        self._measure([row.item for row in rows], packed_ms)
        records = pack_rows(rows, self._rules.models, packed_ms=packed_ms, tokens_max=self._settings.work_tokens_max)
        return (Outgoing(topic, None, record) for topic, record in records)

    def _measure(self, items: Sequence[WorkItem], packed_ms: int) -> None:
        for (task, tenant), jobs in Counter((item.job.task, item.job.tenant) for item in items).items():
            metrics.JOBS_RECEIVED.labels(task, self._rules.policies.label(tenant)).inc(jobs)
        metrics.JOBS_REPLAYED.inc(sum(item.tried > 0 for item in items))
        spent_ms = [(item.received_ms - item.accepted_ms, packed_ms - item.received_ms) for item in items]
        self._parts.observe(np.divide(spent_ms, 1000))

    def _bury(self, rejected: Rejected) -> Iterator[Outgoing]:
        letter = self._dead_letter(rejected)
        value = letter.__pydantic_serializer__.to_json(letter)
        key = letter.job_id.encode() if letter.job_id else None
        metrics.JOBS_DEAD.labels("preprocess", letter.code).inc()
        headers = trace_headers(rejected.record.traceparent)
        yield Outgoing(self._settings.dead_letters_topic, key, value, headers=headers)
        if letter.reply_to and letter.reply_to.startswith(self._settings.reply_prefix):
            yield Outgoing(letter.reply_to, key, value, optional=True, headers=headers)

    def _dead_letter(self, rejected: Rejected) -> DeadLetter:
        bytes_max = int(self._settings.record_bytes_max * _BASE64_GROWTH)
        record = rejected.record
        headers = kept_headers(record.headers)
        return DeadLetter(
            job_id=rejected.job_id,
            code=rejected.error.code,
            stage="preprocess",
            reason=rejected.error.reason,
            source=rejected.source,
            original=Original(
                key=None if record.key is None else RawBytes.of(record.key, _KEY_BYTES_MAX),
                headers=headers,
                headers_dropped=len(record.headers) - len(headers),
                value=None if rejected.original is None else RawBytes.of(rejected.original, bytes_max),
            ),
            attempts=1 + tried_before(record.headers),
            versions=_VERSIONS,
            reply_to=rejected.reply_to,
            unscored_verdict=unscored_verdict(self._rules.policies.current, rejected.tenant),
            failed_at=timestamp_from_ms(self._clock_ms()),
        )


def _rejected(record: JobRecord, accepted: Accepted, error: MessageError) -> Rejected:
    job = accepted.job
    bulk = accepted.source.index is not None
    original = job.__pydantic_serializer__.to_json(job) if bulk else record.value
    return Rejected(error, record, accepted.source, original, job.job_id, job.reply_to, job.tenant)
