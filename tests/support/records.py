"""Records of the jobs topic, and the preprocess stage with the toy model behind it; its clock stands still."""

import json
from collections.abc import Iterable
from typing import Any

from pipeline.outgoing import Outgoing
from pipeline.preprocess.decode import Accepted, JobRecord
from pipeline.preprocess.prepare import Rules
from pipeline.preprocess.rules import load_rules
from pipeline.preprocess.stage import Stage
from pipeline.settings import Settings
from schemas.dead_letters import DeadLetter
from schemas.jobs import TextJob
from schemas.work import Source, WorkBatch, WorkItem, unpack

BROKER_MS = 1_800_000_000_000
"""When the broker took every record."""
NOW_MS = BROKER_MS + 250


def job_record(value: object, **place: Any) -> JobRecord:
    """A record with that value: bytes and None as they are, all else as JSON."""
    raw = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
    given = {"topic": "llmos.jobs", "partition": 0, "offset": 7, "timestamp_ms": BROKER_MS, "key": None, "headers": ()}
    return JobRecord(**(given | place), value=raw)


def accepted(text: str, **fields: Any) -> Accepted:
    """A job as `decode` accepts it."""
    job = TextJob.model_validate({"job_id": "job", "text": text, **fields})
    return Accepted(job, Source(topic="llmos.jobs", partition=0, offset=7), BROKER_MS)


def toy_stage(settings: Settings, rules: Rules | None = None) -> Stage:
    """The stage that serves the toy model."""
    return Stage(settings, rules or load_rules(settings), lambda: NOW_MS)


def dead_letters(output: Iterable[Outgoing]) -> list[DeadLetter]:
    """Every dead letter among records on their way out, replies left out."""
    return [DeadLetter.model_validate_json(record.value) for record in output if record.topic.endswith(".dead-letters")]


def work_batches(output: Iterable[Outgoing]) -> list[WorkBatch]:
    """Every work batch among them."""
    return [unpack(record.value) for record in output if ".work." in record.topic]


def work_items(output: Iterable[Outgoing]) -> list[WorkItem]:
    """Every job in them."""
    return [item for batch in work_batches(output) for item in batch.description.items]
