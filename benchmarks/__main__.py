"""Every benchmark, one after the other, as `make bench` runs them: python -m benchmarks [--jobs 100000] [--keep].

Each runs in a process of its own and prints its table and its line of JSON; what goes wrong in one does not stop the others.
"""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from benchmarks import bench_ceiling, bench_gpu, bench_latency, bench_memory, bench_peers, bench_pipeline, bench_scaling

ALL: Final = {
    "bench_ceiling": bench_ceiling.JOBS,
    "bench_pipeline": bench_pipeline.JOBS,
    "bench_latency": bench_latency.JOBS,
    "bench_scaling": bench_scaling.JOBS,
    "bench_peers": bench_peers.JOBS,
    "bench_memory": bench_memory.JOBS,
    "bench_gpu": bench_gpu.JOBS,
}
"""Benchmark → its own number of jobs."""
JOBS_MIN: Final = 100


def main() -> int:
    """The exit code is 1 where one of them has failed."""
    given = _given()
    failed = []
    for name in given.only or ALL:
        command = [sys.executable, "-m", f"benchmarks.{name}", "--jobs", str(jobs_of(ALL[name], given.jobs))]
        print(f"\n{name}", flush=True)
        if subprocess.run([*command, *(["--keep"] if given.keep else [])], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def _given() -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=bench_pipeline.JOBS, help="of bench_pipeline; the others shrink as it does")
    parser.add_argument("--only", nargs="*", choices=list(ALL), help="which; by default all")
    parser.add_argument("--keep", action="store_true", help="write the figures to benchmarks/results/")
    return parser.parse_args()


def jobs_of(own: int, asked: int) -> int:
    """A benchmark's number of jobs, shrunk as that of `bench_pipeline` is."""
    return max(JOBS_MIN, own * asked // bench_pipeline.JOBS)


if __name__ == "__main__":
    sys.exit(main())
