"""Goes on where a process died: record by record, and where that is not careful enough, job by job."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from kafka import TopicPartition

from pipeline import kafka as options
from pipeline.outgoing import Outgoing
from schemas.codes import Code
from schemas.errors import FatalError, MessageError, TransientError
from schemas.work import WorkBatch, WorkDescription
from workers.attempts import Marker, next_try, untried
from workers.loop import Loop, OutOfTimeError, decode_record
from workers.results import Recorder
from workers.score import WorkRecord

_LOG = logging.getLogger(__name__)
_FETCH_S: Final = 30
"""How long the next marked record may take to come; after that, retention has taken it or the partition has moved on."""


class Recovery:
    """Callable by the loop; `attempts` deaths on a job alone bury it. Where the loop is stopped, the rest keeps its marker."""

    def __init__(self, recorder: Recorder, attempts: int) -> None:
        self._recorder = recorder
        self._attempts = attempts

    def __call__(self, loop: Loop, partition: TopicPartition, offset: int, found: Marker) -> None:
        """Work off the marked records, while the partition is ours."""
        _LOG.warning("a process died over offsets %d to %d of %s: going on with care", offset, found.until - 1, partition.topic)
        loop.consumer.seek(partition, offset)
        aside: dict[TopicPartition, Any] = {}
        later = Marker(found.until, "record")
        for record in _records(loop, partition, found.until, aside):
            # What was done of the first marked record is no other's: one that retention removed is followed by the next.
            self._work_off(loop, partition, record, next_try(found) if record.offset == offset else later)
            end = record.offset + 1
            loop.commit({partition: (end, later.dump() if end < found.until else "")})
        loop.put_back(aside.values())

    def _work_off(self, loop: Loop, partition: TopicPartition, record: Any, marker: Marker) -> None:  # noqa: ANN401
        loop.in_hand = [record]
        decoded = decode_record(record)
        if marker.level == "record" or not isinstance(decoded.batch, WorkBatch):
            _try(loop, partition, marker, decoded)
            return
        for number, batch in enumerate(single_jobs(decoded.batch)):
            if number < marker.job:  # done before the last death
                continue
            if number > marker.job:
                marker = Marker(marker.until, "job", number, 1)
            job = WorkRecord(decoded.source, decoded.value, batch, marker.tries)
            _try(loop, partition, marker, job, self._buried(batch) if marker.tries > self._attempts else None)

    def _buried(self, job: WorkBatch) -> list[Outgoing]:
        error = MessageError(Code.WORKER_CRASHED, f"the worker died {self._attempts} times on this text alone")
        return list(self._recorder.bury(job.description.items[0], error, self._attempts))


def _try(
    loop: Loop, partition: TopicPartition, marker: Marker, record: WorkRecord, instead: list[Outgoing] | None = None
) -> None:
    """Score `record` and deliver what it leads to, or what to deliver `instead`; in the meantime `marker` tells of it."""
    loop.commit({partition: (record.source.offset, marker.dump())})
    with _blameless(loop, partition, record, marker, OutOfTimeError):  # all else is the record's own fault, or may be
        outgoing = loop.compute([record]) if instead is None else instead
    with _blameless(loop, partition, record, marker, TransientError, FatalError):  # no results are taken: Kafka's fault
        loop.deliver(outgoing)


@contextmanager
def _blameless(
    loop: Loop, partition: TopicPartition, record: WorkRecord, marker: Marker, *errors: type[Exception]
) -> Iterator[None]:
    """Has `errors` not count as a death over `record`."""
    try:
        yield
    except errors:
        loop.take_back({partition: (record.source.offset, untried(marker).dump())})
        raise


def _records(loop: Loop, partition: TopicPartition, until: int, aside: dict[TopicPartition, Any]) -> Iterator[Any]:
    """The records of `partition` before `until`, while it is ours and the loop is to go on; `aside` is what to put back then.

    A partition that was assigned anew meanwhile may come back from somebody who went on with it: its mark is to be read again.

    The other partitions are not paused: kafka-python 3.0.12 sets aside what it has fetched of a paused partition, and may never
    take it up again when the partition is resumed.
    """
    deadline = time.monotonic() + _FETCH_S
    while not loop.stopping and time.monotonic() < deadline and partition in loop.consumer.assignment():
        polled = options.poll(loop.consumer, timeout_ms=200, max_records=1)
        anew = loop.is_unchecked(partition)
        for found, records in polled.items():
            for record in records:
                if anew or found != partition or record.offset >= until:
                    aside.setdefault(found, record)
                else:
                    loop.follow(record)
                    yield record
                    deadline = time.monotonic() + _FETCH_S
                if found == partition and record.offset + 1 >= until:
                    return
        if anew:
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
