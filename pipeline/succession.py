"""No record is passed over: what comes next on a partition is what follows, or the log itself has nothing between.

An offset may be committed only when everything before it is finished. That stands on records coming one after the other, and
clients of Kafka do not always see to it: where rebalances overtake each other, one may go on from a position of before. So both
stages look at every offset, and where one jumps they ask the log, as a client of their own. What retention has removed, or
what never was a record (the marker of a transaction), is not missed. Anything else ends the process with nothing committed.
"""

import time
from collections.abc import Callable
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from pipeline import kafka as options
from pipeline.refusal import failure
from pipeline.settings import Settings
from schemas.errors import TransientError

Place = tuple[str, int]
"""A topic's name and the number of a partition."""
_POLL_MS: Final = 200


class Succession:
    """For each partition the offset that comes next; `first_at` asks the log where it has a first record from an offset on."""

    def __init__(self, first_at: Callable[[Place, int], int]) -> None:
        self._first_at = first_at
        self._next: dict[Place, int] = {}

    def clear(self) -> None:
        """Know of nothing."""
        self._next.clear()

    def begin(self, place: Place, offset: int) -> None:
        """Everything before `offset` is finished, or in hand."""
        self._next[place] = max(offset, self._next.get(place, 0))

    def knows(self, place: Place) -> bool:
        """Whether anything of `place` is finished or in hand."""
        return place in self._next

    def jumps(self, place: Place, offset: int) -> bool:
        """Whether offsets between are skipped: then `follow` asks the log."""
        return offset > self._next.get(place, 0)

    def follow(self, place: Place, offset: int) -> None:
        """The record at `offset` is taken up; a repeat is none of our business.

        Raises TransientError where records lie between, or where the log does not answer.
        """
        expected = self._next.get(place, 0)
        if offset > expected and (missed := self._first_at(place, expected)) < offset:
            raise TransientError(
                f"{place[0]}, partition {place[1]}: the records from offset {missed} on were passed over, {offset} came instead; "
                "nothing is committed, they come again to the next process"
            )
        self._next[place] = max(expected, offset + 1)


def first_at(settings: Settings, place: Place, offset: int) -> int:
    """Where the first record lies that is at `offset` or behind it, which there must be; else raises TransientError."""
    deadline = time.monotonic() + settings.kafka_request_timeout_ms / 1000
    try:
        consumer = KafkaConsumer(**options.consumer(settings))
        try:
            consumer.assign([TopicPartition(*place)])
            consumer.seek(TopicPartition(*place), offset)
            while time.monotonic() < deadline:
                for records in options.poll(consumer, timeout_ms=_POLL_MS, max_records=1).values():
                    return int(records[0].offset)
        finally:
            options.close(consumer, autocommit=False)
    except KafkaError as error:
        raise failure(f"{place[0]}, partition {place[1]}, is not read from offset {offset} on", error) from error
    raise TransientError(f"{place[0]}, partition {place[1]}: nothing came from offset {offset} on")
