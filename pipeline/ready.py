"""The ready file: exists while a process is ready to work, for probes and supervisors. And the end of one that is stuck."""

import logging
import os

from pipeline.settings import Settings
from pipeline.stacks import stacks

_LOG = logging.getLogger(__name__)


def announce(settings: Settings, *, ready: bool) -> None:
    """Make or remove the ready file, where one is set."""
    if settings.ready_file and ready:
        settings.ready_file.touch()
    elif settings.ready_file:
        settings.ready_file.unlink(missing_ok=True)


def end_stuck(settings: Settings, sentence: str) -> None:
    """Exit with 75 at once, uncommitted: `sentence` and all stacks are in the log, and the ready file is gone."""
    try:
        _LOG.critical("%s\n%s", sentence, stacks())
        announce(settings, ready=False)
        logging.shutdown()
    finally:
        os._exit(os.EX_TEMPFAIL)
