"""Policies that follow their files: read at start, and again where the folder has changed."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pipeline import metrics
from pipeline.canary import CANARY_TENANT
from pipeline.policies import LoadedPolicy, load_policies, load_policy, policy_files
from schemas.errors import ConfigurationError

_LOG = logging.getLogger(__name__)
TENANTS_NAMED: Final = 100
"""Tenants that have a name of their own in metrics; each costs some series in every process."""
LOOK_S: Final = 1.0
"""The folder is looked at so often at most: a look costs as much as folding a text or two."""
SETTLED_S: Final = 1.0
"""What changed a moment ago may be half written, or half of a rename: it is read at the next look."""


class _Stamp(NamedTuple):
    """Another file, or another content of the same, has another one."""

    modified_ns: int
    size: int
    inode: int


_Folder = dict[str, _Stamp]


class PolicyBook:
    """The policies of a folder as they are now; raises ConfigurationError where they are wrong at start.

    Later, what cannot be read keeps its last good policy: that is logged once and counted as `llmos_policies_broken`. A file
    that is gone takes its tenant away; a folder that is gone, or without any policy, changes nothing.
    """

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = time.monotonic, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._wall_clock = wall_clock
        self._read = _stamps(folder)  # before the files are: a change in between is found at the next look
        self._unsettled: _Folder | None = None
        self._said: Mapping[str, str] = {}
        self._busy = threading.Lock()
        self.current: Mapping[str, LoadedPolicy] = load_policies(folder)
        """What holds, by tenant; replaced as a whole, and only by `refresh`."""
        self._named = _named(self.current)
        self._next_look = clock() + LOOK_S

    def label(self, tenant: str) -> str:
        """What metrics call `tenant`: the first by name have their own, all the rest are `other`, in every process alike."""
        return tenant if tenant in self._named else "other"

    def refresh(self) -> Mapping[str, LoadedPolicy]:
        """What holds from now on: call it once a batch and keep what it returns. Any thread may; one reads, the others go on.

        A change holds for what is taken up two seconds later.
        """
        if self._clock() >= self._next_look and self._busy.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._next_look = self._clock() + LOOK_S
                self._busy.release()
        return self.current

    def _look(self) -> None:
        found = _stamps(self._folder)
        if found == self._read:
            return
        newest = max((stamp.modified_ns for stamp in found.values()), default=0) / 1e9
        # Either clock will do: that of a file server may be ahead of ours.
        if found != self._unsettled and newest > self._wall_clock() - SETTLED_S:
            self._unsettled = found
            return
        self._read = found
        self._reload()

    def _reload(self) -> None:
        policies: dict[str, LoadedPolicy] = {}
        wrong: dict[str, str] = {}
        for file in policy_files(self._folder):
            known = self.current.get(file.stem)
            try:
                policies[file.stem] = load_policy(file, known)
            except ConfigurationError as error:
                wrong[file.stem] = str(error)
                if known:
                    policies[file.stem] = known
        if not policies and not wrong:
            wrong, policies = {"": f"policies folder {self._folder}: no *.toml file there"}, dict(self.current)
        self._say(wrong, policies)
        self.current, self._named = policies, _named(policies)

    def _say(self, wrong: Mapping[str, str], policies: Mapping[str, LoadedPolicy]) -> None:
        for name, sentence in wrong.items():
            if self._said.get(name) != sentence:
                _LOG.error("%s; %s", sentence, "the last good one holds" if name in self.current or not name else "not taken up")
        if changes := _changes(self.current, policies):
            _LOG.info("policies changed: %s", ", ".join(changes))
        elif mended := sorted(self._said.keys() - wrong.keys()):
            _LOG.info("policies can be read again: %s", ", ".join(name or str(self._folder) for name in mended))
        self._said = wrong
        metrics.POLICIES_BROKEN.set(len(wrong))


def _named(tenants: Iterable[str]) -> frozenset[str]:
    return frozenset([CANARY_TENANT, *sorted(tenants)[:TENANTS_NAMED]])


def _changes(before: Mapping[str, LoadedPolicy], now: Mapping[str, LoadedPolicy]) -> list[str]:
    """A few words on each policy that is not as it was."""
    new = [f"{name} release {now[name].policy.release} is new" for name in sorted(now.keys() - before.keys())]
    gone = [f"{name} is gone" for name in sorted(before.keys() - now.keys())]
    both = [name for name in sorted(now.keys() & before.keys()) if now[name].ref.sha256 != before[name].ref.sha256]
    return new + gone + [f"{name} from release {before[name].policy.release} to {now[name].policy.release}" for name in both]


def _stamps(folder: Path) -> _Folder:
    """The stamp of the folder itself, by the name ".", and of every file in it; of none that cannot be asked."""
    found: _Folder = {}
    for path in (folder, *_files(folder)):
        try:
            status = path.stat()
        except OSError:  # gone between two system calls, or not ours to see
            continue
        found["." if path == folder else path.name] = _Stamp(status.st_mtime_ns, status.st_size, status.st_ino)
    return found


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except OSError:
        return []
