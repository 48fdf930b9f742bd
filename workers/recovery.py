"""Goes on where a process died: record by record, and where that is not careful enough, job by job."""

import logging
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from kafka import TopicPartition

from schemas.codes import Code
from schemas.errors import MessageError
from schemas.work import WorkBatch, WorkDescription
from workers.attempts import Marker, next_try
from workers.loop import Loop, decode_record
from workers.results import Recorder
from workers.score import WorkRecord

_LOG = logging.getLogger(__name__)
_FETCH_S: Final = 30
"""How long the next marked record may take to come; after that, retention has taken it or the partition has moved on."""


class Recovery:
    """Callable by the loop; `attempts` deaths on a job alone bury it."""

    def __init__(self, recorder: Recorder, attempts: int) -> None:
        self._recorder = recorder
        self._attempts = attempts

    def __call__(self, loop: Loop, partition: TopicPartition, offset: int, found: Marker) -> int:
        """Work off the marked records; returns the offset to go on from."""
        _LOG.warning("a process died over offsets %d to %d of %s: going on with care", offset, found.until - 1, partition.topic)
        marker = next_try(found)
        others = loop.consumer.assignment() - {partition}
        loop.consumer.pause(*others)
        loop.consumer.seek(partition, offset)
        for record in _records(loop, partition, marker.until):
            self._work_off(loop, partition, record, marker)
            offset = record.offset + 1
            marker = Marker(marker.until, "record")
            loop.commit({partition: (offset, marker.dump() if offset < marker.until else "")})
        loop.consumer.resume(*(others & loop.consumer.assignment()))
        return offset

    def _work_off(self, loop: Loop, partition: TopicPartition, record: Any, marker: Marker) -> None:  # noqa: ANN401
        loop.commit({partition: (record.offset, marker.dump())})
        decoded = decode_record(record)
        if marker.level == "record" or not isinstance(decoded.batch, WorkBatch):
            loop.deliver(loop.score([decoded]))
            return
        for number, batch in enumerate(single_jobs(decoded.batch)):
            if number < marker.job:  # done before the last death
                continue
            if number > marker.job:
                marker = Marker(marker.until, "job", number, 1)
                loop.commit({partition: (record.offset, marker.dump())})
            self._one_job(loop, WorkRecord(decoded.source, decoded.value, batch, marker.tries))

    def _one_job(self, loop: Loop, job: WorkRecord) -> None:
        assert isinstance(job.batch, WorkBatch), "single jobs are whole batches"
        if job.attempt <= self._attempts:
            loop.deliver(loop.score([job]))
            return
        error = MessageError(Code.WORKER_CRASHED, f"the worker died {self._attempts} times on this text alone")
        loop.deliver(list(self._recorder.bury(job.batch.description.items[0], error, self._attempts)))


def _records(loop: Loop, partition: TopicPartition, until: int) -> Iterator[Any]:
    """The records of `partition` before `until`, while it is ours; what else comes meanwhile is kept for later."""
    deadline = time.monotonic() + _FETCH_S
    while time.monotonic() < deadline and partition in loop.consumer.assignment():
        for found, records in loop.consumer.poll(timeout_ms=200, max_records=1).items():
            if found != partition:
                loop.keep(records)
                continue
            for record in records:
                if record.offset >= until:
                    return
                yield record
                deadline = time.monotonic() + _FETCH_S
                if record.offset + 1 >= until:
                    return


def single_jobs(batch: WorkBatch) -> Iterator[WorkBatch]:
    """The jobs of `batch`, each as a batch of its own."""
    rows = np.concatenate(([0], np.cumsum(batch.windows, dtype=np.int64)))
    tokens = np.concatenate(([0], np.cumsum(batch.lengths, dtype=np.int64)))
    for number, item in enumerate(batch.description.items):
        first, last = rows[number], rows[number + 1]
        yield WorkBatch(
            tokenizer_sha256=batch.tokenizer_sha256,
            description=WorkDescription(packed_ms=batch.description.packed_ms, items=(item,)),
            windows=batch.windows[number : number + 1],
            lengths=batch.lengths[first:last],
            tokens=batch.tokens[tokens[first] : tokens[last]],
        )
