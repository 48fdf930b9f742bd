"""Logging of every process: lines for people or JSON for machines, on stderr, never the text of a job."""

import json
import logging
import sys
import time
from typing import Final

from pipeline.settings import Settings

_QUIET: Final = ("kafka", "aiokafka", "faust", "mode", "asyncio", "httpx", "uvicorn", "pipeline.preprocess.transport")
_REPEAT_S: Final = 5
"""A library says the same again after so long at the earliest: without a broker some say it a thousand times a second."""
_LINE: Final = "%(asctime)s %(levelname)-7s %(process_name)s[%(process)d] %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, process, logger, message, and the traceback where there is one."""

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
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logging(settings: Settings, process: str) -> None:
    """Set up the root logger of a process that is called `process`; libraries speak up from warnings on only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else logging.Formatter(_LINE, "%H:%M:%S"))
    handler.addFilter(_Named(process))
    handler.addFilter(_Calm())
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))


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
        if not record.name.startswith(_QUIET):
            return True
        what, now = (record.name, str(record.msg)), time.monotonic()
        if now - self._said.get(what, -_REPEAT_S) < _REPEAT_S:
            return False
        self._said[what] = now
        return True
