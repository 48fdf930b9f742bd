"""Keys decide on partitions as librdkafka's default, `consistent_random`, has it."""

from types import SimpleNamespace
from zlib import crc32

from pipeline.partitioner import KeyPartitioner

CLUSTER = SimpleNamespace(
    topics=lambda: {"results"},
    partitions_for_topic=lambda _: set(range(8)),
    available_partitions_for_topic=lambda _: {3},
)


def chosen(key: bytes | None) -> int:
    return KeyPartitioner().partition("results", key, key, b"", b"", CLUSTER)


def test_one_key_has_one_partition_and_many_keys_have_all() -> None:
    keys = [f"job-{number}".encode() for number in range(200)]
    assert [chosen(key) for key in keys] == [crc32(key) % 8 for key in keys]
    assert {chosen(key) for key in keys} == set(range(8))


def test_a_known_key() -> None:
    assert crc32(b"123456789") == 0xCBF43926  # the check value of this CRC
    assert chosen(b"123456789") == 0xCBF43926 % 8


def test_without_a_key_a_partition_that_has_a_leader() -> None:
    assert chosen(None) == 3
