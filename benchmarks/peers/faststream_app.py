"""FastStream with ONNX Runtime in the handler."""

import asyncio
from argparse import Namespace
from typing import Any

import uvloop
from faststream import FastStream  # type: ignore[import-not-found]  # only in its own environment
from faststream.kafka import KafkaBroker  # type: ignore[import-not-found]

from benchmarks.peers.model import TAKE_S, TAKEN, Model, options


def usual(given: Namespace, model: Model) -> KafkaBroker:
    """A handler for a message, as in its documentation."""
    broker = KafkaBroker(given.bootstrap, logger=None)
    publisher = broker.publisher(given.results_topic)

    @broker.subscriber(given.jobs_topic, group_id=given.jobs_topic, auto_offset_reset="earliest")  # type: ignore[untyped-decorator]
    async def score(job: dict[str, Any]) -> None:
        (scores,) = model.padded([job["text"]])
        await publisher.publish(model.answer(job["id"], scores), key=job["id"].encode())

    return broker


def tuned(given: Namespace, model: Model) -> KafkaBroker:
    """A handler for 256 messages, sorted, in short runs off the event loop, results confirmed together."""
    broker = KafkaBroker(given.bootstrap, logger=None, compression_type="lz4", linger_ms=20, max_batch_size=256 << 10)
    publisher = broker.publisher(given.results_topic)

    @broker.subscriber(  # type: ignore[untyped-decorator]
        given.jobs_topic,
        group_id=given.jobs_topic,
        auto_offset_reset="earliest",
        batch=True,
        max_records=TAKEN,
        batch_timeout_ms=round(TAKE_S * 1000),
    )
    async def score(jobs: list[dict[str, Any]]) -> None:
        found = await asyncio.get_running_loop().run_in_executor(None, model.in_short_runs, [job["text"] for job in jobs])
        sent = [
            publisher.publish(model.answer(job["id"], row), key=job["id"].encode()) for job, row in zip(jobs, found, strict=True)
        ]
        await asyncio.gather(*sent)

    return broker


if __name__ == "__main__":
    asked = options()
    made = (tuned if asked.form == "tuned" else usual)(asked, Model(asked.bundle, asked.form))
    if asked.form == "tuned":
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(FastStream(made).run())
