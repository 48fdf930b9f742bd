"""Logging of every process: lines for people or JSON for machines, on stderr, never the text of a job.

What we say ourselves holds none. Libraries speak up from warnings on only, and of errors no more is told than
`pipeline.tracebacks` lets through, unless the setting `log_texts` says so.
"""

import json
import logging
import re
import sys
import time
from types import TracebackType
from typing import Final

from pipeline.settings import Settings
from pipeline.tracebacks import Told, traceback_of

_OURS: Final = ("pipeline", "schemas", "workers", "training")
_LIBRARYS: Final = ("pipeline.preprocess.transport",)
"""Ours, but what speaks there is the library that it extends."""
_REPEAT_S: Final = 5
"""A library says the same again after so long at the earliest: without a broker some say it a thousand times a second."""
_LINE: Final = "%(asctime)s %(levelname)-7s %(process_name)s[%(process)d] %(message)s"
_VALUES: Final = re.compile(r"[(<\n]")
"""Where asyncio begins to show the values of what failed."""

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Lines(logging.Formatter):
    """For people. `texts`: tracebacks may tell what errors quote."""

    def __init__(self, *, texts: bool = False) -> None:
        super().__init__(_LINE, "%H:%M:%S")
        self._texts = texts

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 (logging's name)
        """The traceback."""
        return super().formatException(ei) if self._texts or ei[1] is None else traceback_of(ei[1])


class JsonLines(Lines):
    """One JSON object a record: time, level, process, logger, message, and traceback, trace and span where there are such."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "process": getattr(record, "process_name", ""),
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in ("trace_id", "span_id") if name in vars(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(settings: Settings, process: str) -> None:
    """Set up the root logger of a process that is called `process`; libraries speak up from warnings on only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((JsonLines if settings.log_format == "json" else Lines)(texts=settings.log_texts))
    handler.addFilter(_Named(process))
    handler.addFilter(_Calm())
    if not settings.log_texts:
        handler.addFilter(_without_texts)
    logging.raiseExceptions = settings.log_texts  # a line that cannot be formatted would be shown with its arguments
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=max(logging.WARNING, level), force=True)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in _LIBRARYS:
        logging.getLogger(name).setLevel(max(logging.WARNING, level))


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.split(".")[0] in _OURS and record.name not in _LIBRARYS


def _without_texts(record: logging.LogRecord) -> bool:
    """Has a line tell of errors, and of the callbacks and tasks in which they came up, only what quotes no text."""
    if isinstance(record.args, tuple):
        record.args = tuple(Told(value) if isinstance(value, BaseException) else value for value in record.args)
    if record.name == "asyncio" and record.exc_info:
        record.msg, record.args = _VALUES.split(record.getMessage(), maxsplit=1)[0], ()
    return True


class _Named(logging.Filter):
    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def filter(self, record: logging.LogRecord) -> bool:
        record.process_name = self._process
        return True


class _Calm(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if _is_ours(record):
            return True
        what, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said.get(what, -_REPEAT_S) < _REPEAT_S:
            return False
        self._said[what] = now
        return True
