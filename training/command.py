"""What every step's command line shares: its help is the module's docstring, and an error says what to mend."""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from typing import Final

from schemas.errors import BundleError, ConfigurationError

_CODES: Final[tuple[tuple[type[Exception], int], ...]] = ((ConfigurationError, 3), (FileNotFoundError, 3), (BundleError, 4))
"""Exit codes, as `docs/operations.md` lists them."""


def parser(doc: str | None) -> ArgumentParser:
    """A parser whose description is `doc`, printed as it is written."""
    return ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)


def run(main: Callable[[], int | None]) -> None:
    """Run a step and exit; what the user can mend is said in one line, without a stack."""
    try:
        sys.exit(main() or 0)
    except tuple(kind for kind, _ in _CODES) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(next(code for kind, code in _CODES if isinstance(error, kind)))
