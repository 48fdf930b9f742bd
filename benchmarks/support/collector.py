"""A reader of results as a process of its own: python -m benchmarks.support.collector EXPECTED PREFIX ARRIVALS.

Reads as any program does, by `ResultReader`, until the results of EXPECTED jobs have come whose ids begin with PREFIX, or none
has come for some time. Says `ready` first; ends with one line of JSON: how many came, when the last one did by the monotonic
clock, and its own CPU seconds. ARRIVALS, unless empty, is a file that gets the time of each result by the job's number.
"""

import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipeline.read import ResultReader
from pipeline.settings import Settings

IDLE_S: Final = 120
"""Without a result for so long, the rest counts as missing."""


def main(expected: str, prefix: str, file: str) -> None:
    """Read until all have come."""
    arrived: dict[int, float] = {}
    with ResultReader(Settings(), since=datetime.now(UTC)) as reader:
        cpu = time.process_time()
        print("ready", flush=True)
        signal.signal(signal.SIGALRM, _give_up)
        try:
            _read(reader, int(expected), f"{prefix}-", arrived)
        except TimeoutError:
            print(f"no result for {IDLE_S} s", file=sys.stderr)
        signal.alarm(0)
        cpu_s = time.process_time() - cpu
    if file:
        Path(file).write_text(json.dumps(arrived), "utf-8")
    print(json.dumps({"came": len(arrived), "last": max(arrived.values(), default=time.monotonic()), "cpu_s": cpu_s}))


def _read(reader: ResultReader, expected: int, prefix: str, arrived: dict[int, float]) -> None:
    signal.alarm(IDLE_S)
    for result in reader.results(follow=True):
        if result.job_id.startswith(prefix):
            arrived[int(result.job_id.removeprefix(prefix))] = time.monotonic()
            if len(arrived) == expected:
                return
            signal.alarm(IDLE_S)


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main(*sys.argv[1:])
