"""What processes use, from /proc (Linux): CPU time and resident memory."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_KIB: Final = 1024
_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12
"""Places of ppid, utime and stime in what follows the name in /proc/PID/stat (proc(5))."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of some processes together: CPU seconds since they began, resident bytes now and at most so far."""

    cpu_s: float = 0.0
    resident_bytes: int = 0
    peak_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_s + other.cpu_s, self.resident_bytes + other.resident_bytes, self.peak_bytes + other.peak_bytes)


def usage(pids: Iterable[int]) -> Usage:
    """Of all `pids` together; raises FileNotFoundError for one that has ended, since its CPU time would be missing."""
    return sum(map(_of_one, pids), Usage())


def cpu_between(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, float]:
    """CPU seconds that each stage has used between two readings."""
    return {stage: after[stage].cpu_s - before[stage].cpu_s for stage in after}


def cpu_seconds(stat: str, ticks_per_s: int = _TICKS_PER_S) -> float:
    """User and system time in the text of /proc/PID/stat, ended children not counted; a name may hold spaces and brackets."""
    fields = _fields(stat)
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / ticks_per_s


def children(pid: int) -> set[int]:
    """The processes whose parent is `pid` now."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it may end in between
            if int(_fields((folder / "stat").read_text("utf-8"))[_PARENT]) == pid:
                found.add(int(folder.name))
    return found


def _fields(stat: str) -> list[str]:
    return stat.rpartition(")")[2].split()


def memory_bytes(status: str) -> tuple[int, int]:
    """Resident memory now and at most, in the text of /proc/PID/status; zeros for a process that has ended."""
    found = dict(line.partition(":")[::2] for line in status.splitlines())
    return _kib(found.get("VmRSS")) * _KIB, _kib(found.get("VmHWM")) * _KIB


def _kib(value: str | None) -> int:
    return int(value.split()[0]) if value else 0


def _of_one(pid: int) -> Usage:
    folder = Path(f"/proc/{pid}")
    resident, peak = memory_bytes((folder / "status").read_text("utf-8"))
    return Usage(cpu_seconds((folder / "stat").read_text("utf-8")), resident, peak)
