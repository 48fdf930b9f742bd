"""Exit codes, and how errors become one: a sentence for a person on stderr, never a traceback for what is not a bug.

0    all is well
1    done, but some jobs ended as dead letters or rows were refused; not ready, or a canary got a wrong answer
2    wrong usage of the command line
3    a setting, a file or an argument cannot work
4    a model bundle is damaged or fails its canary
5    gave up waiting: some outcomes are missing
65   most jobs ended as dead letters, and the stage stopped: look before it is started again
70   a bug of ours
75   Kafka or the device is away: trying again may help
130  interrupted by Ctrl-C
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from schemas.errors import BundleError, ConfigurationError, DeadLetterLimitError, LLMOSError, TransientError

OK: Final = 0
INCOMPLETE: Final = 1
USAGE: Final = 2
CONFIGURATION: Final = 3
BUNDLE: Final = 4
TIMEOUT: Final = 5
DEAD_LETTERS: Final = os.EX_DATAERR
BUG: Final = os.EX_SOFTWARE
TRANSIENT: Final = os.EX_TEMPFAIL
INTERRUPTED: Final = 130

_CODES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (BundleError, BUNDLE),
    (ConfigurationError, CONFIGURATION),
    (ValidationError, CONFIGURATION),
    (DeadLetterLimitError, DEAD_LETTERS),
    (TransientError, TRANSIENT),
)


@dataclass(slots=True)
class Outcome:
    """The exit code, once known."""

    code: int = OK


@contextmanager
def exit_code() -> Iterator[Outcome]:
    """Turns what the body raises into `outcome.code` and one line on stderr; a bug also gets its traceback.

    Lets a BrokenPipeError through: whoever read our output has seen enough, and the command line ends quietly.
    """
    outcome = Outcome()
    try:
        yield outcome
    except KeyboardInterrupt:
        outcome.code = INTERRUPTED
    except BrokenPipeError:
        raise
    except (LLMOSError, ValidationError) as error:
        outcome.code = next((code for kind, code in _CODES if isinstance(error, kind)), BUG)
        _say(error)
    except Exception as error:
        if isinstance(error, OSError) and error.filename:  # a file that a person named
            outcome.code = CONFIGURATION
            _say(error)
        else:
            outcome.code = BUG
            logging.getLogger(__name__).exception("a bug: please report it")


def _say(error: Exception) -> None:
    sentence = str(error)
    if isinstance(error, ValidationError):  # without the values: one of them may be a secret
        sentence = "; ".join(f"{'.'.join(str(step) for step in found['loc'])}: {found['msg']}" for found in error.errors())
    print(f"llmos: {sentence}", file=sys.stderr)  # noqa: T201 (the one place where errors reach the terminal)
