"""Both ends of a peer, as processes of their own.

    python -m benchmarks.support.plain publish|collect …

    publish BOOTSTRAP TOPIC TEXTS PREFIX KIND    one text a record: {"id": …, "text": …}, or a request of MLServer's protocol
    collect BOOTSTRAP TOPIC EXPECTED PREFIX      says `ready`, then reads results until all have come, or none for some time

Each ends with one line of JSON, as `publisher` and `collector` do.
"""

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.support.collector import IDLE_S

KINDS: Final = ("json", "mlserver")


def publish(bootstrap: str, topic: str, file: str, prefix: str, kind: str) -> None:
    """Send all texts and wait for their confirmation."""
    texts: list[str] = json.loads(Path(file).read_text("utf-8"))
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", compression_type="lz4", linger_ms=5, batch_size=256 << 10)
    began = time.monotonic()
    sent = [
        producer.send(topic, record(f"{prefix}-{number}", text, kind), key=f"{prefix}-{number}".encode(), headers=headers(kind))
        for number, text in enumerate(texts)
    ]
    for one in sent:
        one.get(timeout=IDLE_S)
    print(json.dumps({"began": began, "ended": time.monotonic()}))


def record(job_id: str, text: str, kind: str) -> bytes:
    """One text as its peer reads it."""
    job: dict[str, Any] = {"id": job_id, "text": text}
    if kind == "mlserver":
        content = {"content_type": "str"}
        job = {"inputs": [{"name": "text", "shape": [1, 1], "datatype": "BYTES", "parameters": content, "data": [text]}]}
    return json.dumps(job, ensure_ascii=False).encode()


def headers(kind: str) -> list[tuple[str, bytes]]:
    """What its peer wants beside it."""
    return [("mlserver-model", b"moderation")] if kind == "mlserver" else []


def collect(bootstrap: str, topic: str, expected: str, prefix: str) -> None:
    """Read what comes from now on; a result is known by its key, and read as JSON."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    consumer.assign([TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic)])
    consumer.seek_to_end()
    for place in consumer.assignment():
        consumer.position(place)
    print("ready", flush=True)
    seen: set[bytes] = set()
    last = time.monotonic()
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(IDLE_S)
    try:
        while len(seen) < int(expected):
            for records in consumer.poll(timeout_ms=200).values():
                for found in records:
                    json.loads(found.value)
                    if found.key and found.key.startswith(prefix.encode()):
                        seen.add(found.key)
                last = time.monotonic()
                signal.alarm(IDLE_S)
    except TimeoutError:
        print(f"no result for {IDLE_S} s", file=sys.stderr)
    print(json.dumps({"came": len(seen), "last": last}))


def main(what: str, *arguments: str) -> None:
    """One of the two."""
    if what == "publish":
        publish(*arguments)
    else:
        collect(*arguments)


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main(*sys.argv[1:])
