"""`python -m workers`: one worker, configured by the environment as docs/operations tells; exit codes as in `pipeline.exits`."""

import sys

from pipeline.exits import exit_code
from pipeline.settings import Settings
from workers.app import run_worker


def main() -> int:
    """Run; the exit code says what went wrong."""
    with exit_code() as outcome:
        run_worker(Settings())
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
