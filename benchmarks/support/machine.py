"""Which code on which machine: a figure without both says nothing."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from benchmarks.support.texts import ROOT
from pipeline.cores import cores

_LIBRARIES: Final = ("onnxruntime", "onnxruntime-gpu", "tokenizers", "kafka-python", "aiokafka", "faust-streaming", "numpy")


def circumstances() -> dict[str, Any]:
    """Commit, date, machine, versions, settings that are not the defaults, and how busy the machine was just before."""
    return {
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "settings": {name: value for name, value in os.environ.items() if _is_told(name)},
        "libraries": {name: found for name in _LIBRARIES if (found := _version(name))},
    }


def _is_told(variable: str) -> bool:
    return variable.startswith("LLMOS_") and not variable.startswith("LLMOS_TEST_") and "PASSWORD" not in variable


def commit() -> str:
    """The commit, with a plus sign where files other than results differ from it; empty outside a repository."""
    found = _git("rev-parse", "--short", "HEAD")
    return f"{found}+" if found and _git("status", "--porcelain", "--", ".", ":!benchmarks/results") else found


def machine() -> str:
    """Cores, processor and memory in a few words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores()} cores of {processor(Path('/proc/cpuinfo').read_text('utf-8'))}, {memory:.0f} GiB"


def processor(cpuinfo: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; of a nameless one the architecture."""
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
