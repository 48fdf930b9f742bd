"""A folder that one process has to itself."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConfigurationError


@contextmanager
def held(folder: Path, taken: str) -> Iterator[None]:
    """Nobody else holds `folder`, which exists, meanwhile; raises ConfigurationError `taken` where somebody does.

    The lock ends with the process, however that ends.
    """
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(taken) from error
        yield
