"""Which partition a record goes to: by CRC-32 of its key, as librdkafka does it unless told otherwise.

kafka-python has murmur2 as the Java clients do, but written in Python: a tenth of all that a result costs a worker.
"""

import zlib
from typing import Any, Final

from kafka.partitioner import DefaultPartitioner


class KeyPartitioner(DefaultPartitioner):  # type: ignore[misc]
    """Records with one key share a partition; those without go to any that has a leader."""

    def partition(
        self,
        topic: str,
        key: Any,  # noqa: ANN401 (kafka-python's signature)
        serialized_key: bytes | None,
        value: Any,  # noqa: ANN401
        serialized_value: bytes | None,
        cluster: Any,  # noqa: ANN401
    ) -> int:
        """The number of a partition of `topic`."""
        if serialized_key is None:
            return int(super().partition(topic, key, serialized_key, value, serialized_value, cluster))
        return zlib.crc32(serialized_key) % len(cluster.partitions_for_topic(topic))


KEY_PARTITIONER: Final = KeyPartitioner()
