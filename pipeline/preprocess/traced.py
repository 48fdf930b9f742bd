"""Preprocess within the traces of its records: each traced record gets a span, and all that it leads to names that span."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.outgoing import Outgoing
from pipeline.preprocess.batcher import Run
from pipeline.preprocess.decode import JobRecord
from pipeline.settings import Settings
from pipeline.tracing import incoming

if TYPE_CHECKING:
    from pipeline.spans import Tracing


def traced(run: Run, settings: Settings, tracing: "Tracing | None") -> Run:
    """`run` within traces; `run` itself where they are off."""
    if tracing is None:
        return run

    def run_traced(records: Sequence[JobRecord]) -> list[Outgoing]:
        taken = [incoming(record) for record in records]
        with tracing.batch(settings.jobs_topic, taken, settings.preprocess_group) as spans:
            named = [replace(record, traceparent=own) for record, own in zip(records, spans.contexts, strict=True)]
            output = run(named)
            spans.refused(out.headers for out in output if out.topic == settings.dead_letters_topic)
            return output

    return run_traced
