"""A Faust agent that takes many events at a time."""

import asyncio
import json
import sys
import tempfile
from argparse import Namespace
from typing import Any

import faust

from benchmarks.peers.model import TAKE_S, TAKEN, USUAL_ROWS, Model, options


def app_for(given: Namespace, model: Model) -> faust.App:
    """The application; what differs from Faust's defaults is only where it keeps its files, and for `tuned` its producer."""
    more: dict[str, Any] = {}
    if given.form == "tuned":
        more = {"producer_linger": 0.02, "producer_max_batch_size": 256 << 10, "producer_compression_type": "lz4"}
        more |= {"stream_buffer_maxsize": 8192, "broker_max_poll_records": 1000}
    app = faust.App(
        given.jobs_topic,
        broker=f"kafka://{given.bootstrap}",
        store="memory://",
        datadir=tempfile.mkdtemp(prefix="bench-faust-"),
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        **more,
    )
    jobs = app.topic(given.jobs_topic, value_type=bytes, value_serializer="raw")
    results = app.topic(given.results_topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
    app.agent(jobs)(usual(model, results) if given.form == "usual" else tuned(model, results))
    return app


def usual(model: Model, results: Any) -> Any:  # noqa: ANN401 (Faust is untyped)
    """32 at a time, in one run, each result awaited."""

    async def score(stream: Any) -> None:  # noqa: ANN401
        async for values in stream.take(USUAL_ROWS, within=TAKE_S):
            found = [json.loads(value) for value in values]
            for job, row in zip(found, model.padded([job["text"] for job in found]), strict=True):
                await results.send(key=job["id"].encode(), value=model.reply(job["id"], row))

    return score


def tuned(model: Model, results: Any) -> Any:  # noqa: ANN401
    """256 at a time, sorted, in short runs off the event loop, results confirmed together."""

    async def score(stream: Any) -> None:  # noqa: ANN401
        loop = asyncio.get_running_loop()
        async for values in stream.take(TAKEN, within=TAKE_S):
            found = [json.loads(value) for value in values]
            scores = await loop.run_in_executor(None, model.in_short_runs, [job["text"] for job in found])
            sent = [
                await results.send(key=job["id"].encode(), value=model.reply(job["id"], row))
                for job, row in zip(found, scores, strict=True)
            ]
            await asyncio.gather(*sent)

    return score


if __name__ == "__main__":
    asked = options()
    sys.argv[1:] = (
        ["worker", "--without-web", "--loglevel=warn"] if asked.form == "usual" else ["-L", "uvloop", "worker", "--without-web"]
    )
    app_for(asked, Model(asked.bundle, asked.form)).main()
