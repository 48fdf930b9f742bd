"""A publisher as a process of its own, so that its CPU time is known: python -m benchmarks.support.publisher FORM TEXTS PREFIX.

FORM is bulk (many jobs a record), single (one job a record) or a number: so many jobs a second, one a record, due at random
times, and sent as soon as they are due however long earlier ones take. Job ids are PREFIX-0, PREFIX-1, … Ends with one line of
JSON: when it began and ended by the monotonic clock, which all processes of a machine share, and its CPU seconds.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.support.latencies import schedule
from pipeline.publish import JobPublisher
from pipeline.settings import Settings
from schemas.jobs import TextJob

SEED: Final = 5
"""Of the times at which jobs are due: who measures computes them again."""
_AHEAD_S: Final = 0.2


def main(form: str, file: str, prefix: str) -> None:
    """Publish and wait for every confirmation."""
    texts: Sequence[str] = json.loads(Path(file).read_text("utf-8"))
    with JobPublisher(Settings()) as publisher:
        began, cpu = time.monotonic(), time.process_time()
        if form == "bulk":
            publisher.publish_many(TextJob(job_id=f"{prefix}-{number}", text=text) for number, text in enumerate(texts))
        elif form == "single":
            for number, text in enumerate(texts):
                publisher.publish(TextJob(job_id=f"{prefix}-{number}", text=text))
        else:
            began += _AHEAD_S
            _when_due(publisher, texts, prefix, began, float(form))
        publisher.flush()
        print(json.dumps({"began": began, "ended": time.monotonic(), "cpu_s": time.process_time() - cpu}))


def _when_due(publisher: JobPublisher, texts: Sequence[str], prefix: str, began: float, rate: float) -> None:
    for number, due in enumerate(schedule(rate, len(texts), SEED)):
        job = TextJob(job_id=f"{prefix}-{number}", text=texts[number])
        time.sleep(max(0.0, began + due - time.monotonic()))
        publisher.publish(job)


if __name__ == "__main__":
    main(*sys.argv[1:])
