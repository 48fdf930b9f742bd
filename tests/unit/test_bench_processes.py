"""What the benchmarks read of processes: CPU time and memory from /proc, counters from a worker's metrics."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.support.processes import Usage, children, cpu_between, cpu_seconds, memory_bytes, usage
from benchmarks.support.stages import Batches, batches_in
from tests.support.waiting import wait_until

STAT = "42 (a name) with (brackets) S 7 42 42 0 -1 4194304 900 0 0 0 {user} {system} 500 600 20 0 3 0 100 1000000 250 0 0\n"
STATUS = "Name:\tpython\nVmPeak:\t  900000 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t3\n"


def test_cpu_time_is_that_of_the_process_and_not_of_its_ended_children() -> None:
    assert cpu_seconds(STAT.format(user=150, system=50), ticks_per_s=100) == 2.0


def test_memory_is_what_is_resident_now_and_at_most() -> None:
    assert memory_bytes(STATUS) == (1 << 20, 2 << 20)


def test_a_process_that_has_just_ended_has_no_memory() -> None:
    assert memory_bytes("Name:\tpython\nState:\tZ (zombie)\n") == (0, 0)


def test_a_stage_of_many_processes_adds_up() -> None:
    assert Usage(1.5, 10, 20) + Usage(0.5, 1, 2) == Usage(2.0, 11, 22)


def test_cpu_between_two_readings_is_by_stage() -> None:
    before, after = {"worker": Usage(1.0), "broker": Usage(5.0)}, {"worker": Usage(4.0), "broker": Usage(5.5)}
    assert cpu_between(before, after) == {"worker": 3.0, "broker": 0.5}


def test_a_busy_process_shows_its_cpu_time() -> None:
    before = usage([os.getpid()])
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    after = usage([os.getpid()])
    assert after.cpu_s - before.cpu_s == pytest.approx(0.3, abs=0.15)
    assert after.peak_bytes >= after.resident_bytes > 0


def test_a_process_that_is_gone_is_an_error_and_not_zero() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    with pytest.raises(FileNotFoundError):
        usage([done.pid])


def test_children_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        wait_until(lambda: child.pid in children(os.getpid()), "the child is found")
        child.communicate(b"\n")
    assert child.pid not in children(os.getpid())


EXPOSITION = """# TYPE llmos_batch_tokens_total counter
llmos_batch_tokens_total{model="a"} 300.0
llmos_batch_tokens_total{model="b"} 100.0
llmos_batch_padded_tokens_total{model="a"} 500.0
# TYPE llmos_batch_run_seconds histogram
llmos_batch_run_seconds_bucket{model="a",le="0.005"} 3.0
llmos_batch_run_seconds_count{model="a"} 5.0
llmos_batch_run_seconds_sum{model="a"} 0.1
"""


def test_padding_and_fill_come_from_the_counters_of_a_worker() -> None:
    found = batches_in(EXPOSITION)
    assert found == Batches(tokens=400, padded=500, runs=5)
    assert found.padding_ratio == 1.25
    assert found.fill(budget=200) == 0.5


def test_a_worker_that_has_run_nothing_has_no_ratio() -> None:
    assert batches_in("") == Batches()
    assert (Batches().padding_ratio, Batches().fill(1_024)) == (0.0, 0.0)


def test_counters_from_before_are_taken_off() -> None:
    assert Batches(10, 30, 3) - Batches(4, 20, 1) == Batches(6, 10, 2)
