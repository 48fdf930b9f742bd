"""A consumer for the embedded broker, which keeps offsets but forgets their metadata, in which deaths are counted.

All its processes run on one machine and share a state folder; there lies a file for each partition that has a marker.
And a group whose leader leaves while it forms never gets another one there: so nobody leaves, and who is gone times out.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata


class RememberingConsumer(KafkaConsumer):  # type: ignore[misc]
    """kafka-python's consumer; `folder` takes the metadata of its commits. One file tells of one offset, and of no other."""

    def __init__(self, folder: Path, **configs: Any) -> None:  # noqa: ANN401 (kafka-python's own options)
        super().__init__(**configs)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata] | None = None, timeout_ms: int | None = None) -> None:
        """As kafka-python's; afterwards, so that a commit which is refused leaves no trace, note the metadata."""
        super().commit(offsets, timeout_ms=timeout_ms)
        for partition, committed in (offsets or {}).items():
            self._note(self._file(partition), committed)

    def committed(self, partition: TopicPartition, metadata: bool = False, timeout_ms: int | None = None) -> Any:  # noqa: ANN401, FBT001, FBT002 (its signature)
        """As kafka-python's, the metadata from the file."""
        found = super().committed(partition, metadata=metadata, timeout_ms=timeout_ms)
        return found._replace(metadata=self._noted(partition, found.offset)) if metadata and found else found

    def close(self, **options: Any) -> None:  # noqa: ANN401
        """As kafka-python's, but for leaving the group."""
        self._coordinator.reset_generation()  # who is no member does not leave
        super().close(**options)

    @staticmethod
    def _note(file: Path, committed: OffsetAndMetadata) -> None:
        if not committed.metadata:
            file.unlink(missing_ok=True)
            return
        fresh = file.with_suffix(".new")
        fresh.write_text(json.dumps([committed.offset, committed.metadata]), "utf-8")
        fresh.replace(file)

    def _noted(self, partition: TopicPartition, offset: int) -> str:
        try:
            noted_offset, metadata = json.loads(self._file(partition).read_text("utf-8"))
        except (OSError, ValueError):
            return ""
        return str(metadata) if noted_offset == offset else ""

    def _file(self, partition: TopicPartition) -> Path:
        return self._folder / f"{self.config['group_id']}-{partition.topic}-{partition.partition}.json"
