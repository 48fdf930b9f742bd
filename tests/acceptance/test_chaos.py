"""Chaos, a minute of it: the same tool that runs for ten minutes by `make chaos`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brokers import kafka_folder

SEED, MINUTES, RATE = "7", "0.75", "80"
FAULTS = {"apache": "kill,term,pause,add,broker,poison", "embedded": "kill,term,pause,add,cut"}
"""What each broker can have in a short run; freezes and long cuts need minutes to settle."""


@pytest.mark.broker
@pytest.mark.timeout(420)
def test_what_was_accepted_is_what_came_of_it_whatever_is_killed(tmp_path: Path) -> None:
    broker = "apache" if kafka_folder() else "embedded"
    command = [sys.executable, "-m", "tests.acceptance.chaos", "--seed", SEED, "--minutes", MINUTES, "--rate", RATE]
    command += ["--broker", broker, "--faults", FAULTS[broker], "--report", str(tmp_path / "report.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
