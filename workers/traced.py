"""Scoring within the traces of the jobs: each traced job gets a span, and all that it leads to names that span."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.outgoing import Outgoing
from pipeline.settings import Settings
from pipeline.tracing import Incoming, place_attributes
from schemas.work import WorkBatch, WorkItem
from workers.loop import Score
from workers.score import WorkRecord

if TYPE_CHECKING:
    from pipeline.spans import Tracing


def traced(score: Score, settings: Settings, tracing: "Tracing | None") -> Score:
    """`score` within traces; `score` itself where they are off."""
    if tracing is None:
        return score
    group = settings.worker_group(settings.worker_model)

    def score_traced(records: Sequence[WorkRecord]) -> list[Outgoing]:
        taken = [_incoming(record, item) for record in records for item in _items(record)]
        with tracing.batch(records[0].source.topic, taken, group) as spans:
            contexts = iter(spans.contexts)
            output = score([_named(record, contexts) for record in records])
            spans.refused(out.headers for out in output if out.topic == settings.dead_letters_topic)
            return output

    return score_traced


def _items(record: WorkRecord) -> Sequence[WorkItem]:
    return record.batch.description.items if isinstance(record.batch, WorkBatch) else ()


def _incoming(record: WorkRecord, item: WorkItem) -> Incoming:
    place = place_attributes(record.source.partition, record.source.offset)
    return Incoming(item.traceparent, {**place, "llmos.job_id": item.job.job_id})


def _named(record: WorkRecord, contexts: Iterator[str | None]) -> WorkRecord:
    """`record` with the spans of its jobs in place of what they came with."""
    if not isinstance(record.batch, WorkBatch):
        return record
    description = record.batch.description
    items = tuple(_on(item, next(contexts)) for item in description.items)
    return replace(record, batch=replace(record.batch, description=description.model_copy(update={"items": items})))


def _on(item: WorkItem, own: str | None) -> WorkItem:
    return item if own == item.traceparent else item.model_copy(update={"traceparent": own})
