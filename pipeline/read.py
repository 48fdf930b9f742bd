"""Reads topics from outside the pipeline: results without repeats, and raw records for the tools."""

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from pydantic import ValidationError

from pipeline import kafka as options
from pipeline.canary import CANARY_TENANT
from pipeline.refusal import failure
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from schemas.results import InferenceResult

_LOG = logging.getLogger(__name__)
SEEN_MAX: Final = 1_000_000
"""Job ids remembered to drop repeats: about 100 MB at most; a repeat comes within seconds of its first."""
_POLL_MS: Final = 200


class Reader:
    """A context manager over some topics, outside of any group. Positioned at the start, at the end or at a time."""

    def __init__(self, settings: Settings, topics: Sequence[str]) -> None:
        self._settings = settings
        self._topics = topics
        self._since_ms = 0

    def __enter__(self) -> Self:
        with _named("no connection to Kafka"):
            self._consumer = KafkaConsumer(**options.consumer(self._settings))
        try:
            with _named("Kafka"):
                self._consumer.assign([place for topic in self._topics for place in self._partitions(topic)])
        except BaseException:
            options.close(self._consumer, autocommit=False)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        options.close(self._consumer, autocommit=False)

    def _partitions(self, topic: str) -> list[TopicPartition]:
        found = self._consumer.partitions_for_topic(topic)
        if not found:
            raise ConfigurationError(f"topic {topic} does not exist (`llmos topics create`), or this user may not read it")
        return [TopicPartition(topic, partition) for partition in sorted(found)]

    def seek_end(self) -> None:
        """Read only what comes from now on."""
        with _named("Kafka"):
            self._consumer.seek_to_end()
            for place in self._consumer.assignment():
                self._consumer.position(place)  # looked up now, not at the first poll

    def seek_start(self, since: datetime | None = None) -> None:
        """Read from the oldest record, or only what is not older than `since`."""
        if since is None:
            self._consumer.seek_to_beginning()
            return
        self._since_ms = int(since.timestamp() * 1000)
        self.seek(self.offsets_since(self._since_ms))

    def seek(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Go on from these; one that is not there any more becomes the oldest that is."""
        for place, offset in offsets.items():
            self._consumer.seek(place, offset)

    def ends(self) -> dict[TopicPartition, int]:
        """The offset after the last record of every partition; the embedded broker may name it too low, and never too high."""
        with _named("Kafka"):
            return dict(self._consumer.end_offsets(list(self._consumer.assignment())))

    def offsets_since(self, moment_ms: int) -> dict[TopicPartition, int]:
        """Each partition's first offset not older than `moment_ms`, or its end; the embedded broker names the oldest."""
        places = self._consumer.assignment()
        with _named("Kafka"):
            found = self._consumer.offsets_for_times(dict.fromkeys(places, moment_ms))
        ends = self.ends()
        return {place: later.offset if (later := found.get(place)) else ends[place] for place in places}

    def poll(self, timeout_ms: int = _POLL_MS) -> list[Any]:
        """Records that have come, perhaps none."""
        with _named("Kafka"):
            fetched = options.poll(self._consumer, timeout_ms=timeout_ms)
        return [record for records in fetched.values() for record in records]

    def records(self, *, follow: bool) -> Iterator[Any]:
        """Records one by one: until the ends as they are now, or for ever."""
        ends = self.ends()
        unsure = set(ends)
        while follow or self.is_before(ends):
            # The embedded broker finds no offset by time: it names the oldest.
            yield from (record for record in self.poll() if record.timestamp >= self._since_ms)
            # It also names an end too low by the rest of the last batch; what it says with a fetch is right.
            for place in [place for place in unsure if self._consumer.highwater(place) is not None]:
                ends[place] = max(ends[place], self._consumer.highwater(place))
                unsure.discard(place)

    def is_before(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether something lies before `ends` that was not polled yet."""
        return any(position < ends[place] for place, position in self.positions().items())

    def positions(self) -> dict[TopicPartition, int]:
        """The offset of every partition that the next poll goes on from."""
        with _named("Kafka"):
            return {place: self._consumer.position(place) for place in self._consumer.assignment()}


@contextmanager
def _named(doing: str) -> Iterator[None]:
    """What kafka-python raises, as an error of ours."""
    try:
        yield
    except KafkaError as error:
        raise failure(doing, error) from error


class ResultReader:
    """Results, each job once; those of canaries only if asked. A context manager.

    with ResultReader(flagged=True) as reader:
        for result in reader.results():
            …
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        flagged: bool = False,
        since: datetime | None = None,
        canaries: bool = False,
    ) -> None:
        chosen = settings or Settings()
        self._reader = Reader(chosen, [chosen.flagged_topic if flagged else chosen.results_topic])
        self._since = since
        self._canaries = canaries
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.unreadable = 0

    def __enter__(self) -> Self:
        self._reader.__enter__()
        self._reader.seek_start(self._since)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.__exit__(kind, error, trace)

    def results(self, *, follow: bool = False) -> Iterator[InferenceResult]:
        """Results as they come, repeats dropped; ends at the present end of the topic unless it is to `follow`."""
        for record in self._reader.records(follow=follow):
            try:
                result = InferenceResult.model_validate_json(record.value)
            except ValidationError:
                self.unreadable += 1
                _LOG.warning("no result: %s %d:%d", record.topic, record.partition, record.offset)
                continue
            if (self._canaries or result.tenant != CANARY_TENANT) and self._is_new(result.job_id):
                yield result

    def _is_new(self, job_id: str) -> bool:
        digest = hashlib.blake2b(job_id.encode(), digest_size=16).digest()
        if digest in self._seen:
            return False
        self._seen[digest] = None
        if len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
        return True
