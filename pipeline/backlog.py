"""How far a group is behind on some partitions, asked of the broker through a connection of its own."""

from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from pipeline.settings import Settings
from pipeline.topics import admin


@dataclass(frozen=True, slots=True)
class Waiting:
    """Offsets of a partition: the first that the group has not committed and that is still there, and the one after the last."""

    first: int
    end: int

    def records(self, position: int | None = None) -> int:
        """How many wait, from `position` on where that is known; the embedded broker may name the end too low."""
        return max(0, self.end - (self.first if position is None else position))


class Backlog:
    """Connects at the first question and stays connected; for one thread. Reading a group's topic is right enough to ask.

    Without a group nothing is committed: only what waits from a known position on means something.
    """

    def __init__(self, settings: Settings, group: str | None = None) -> None:
        self._settings = settings
        self._group = group
        self._open = ExitStack()
        self._client: KafkaAdminClient | None = None

    def waiting(self, partitions: Collection[tuple[str, int]]) -> dict[tuple[str, int], Waiting]:
        """What waits on each of `partitions`; raises where leaders or coordinator do not answer, and then connects anew."""
        try:
            if self._client is None:
                self._client = self._open.enter_context(admin(self._settings))
            return self._ask(self._client, [TopicPartition(*place) for place in partitions])
        except Exception:
            self._client = None
            self._open.close()
            raise

    def _ask(self, client: KafkaAdminClient, places: list[TopicPartition]) -> dict[tuple[str, int], Waiting]:
        ends = _offsets(client, places, OffsetSpec.LATEST)
        committed = client.list_group_offsets({self._group: places}).get(self._group, {}) if self._group else {}
        first = {place: max(0, committed[place].offset) if place in committed else 0 for place in places}
        behind = [place for place in places if first[place] < ends[place]]
        oldest = _offsets(client, behind, OffsetSpec.EARLIEST) if behind else {}  # retention may have taken what nobody read
        return {tuple(place): Waiting(max(first[place], oldest.get(place, 0)), ends[place]) for place in places}


def _offsets(client: KafkaAdminClient, places: list[TopicPartition], spec: OffsetSpec) -> dict[TopicPartition, int]:
    return {place: found.offset for place, found in client.list_partition_offsets(dict.fromkeys(places, spec)).items()}
