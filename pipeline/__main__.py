"""`python -m pipeline` is `llmos`."""

import sys


def main() -> None:
    """Console entry point."""
    if sys.argv[1:2] == ["health"]:
        from pipeline.cli.health import run_health  # noqa: PLC0415 (must start fast)

        run_health()
    from pipeline.cli.main import main as run_any  # noqa: PLC0415 (the way of all other commands)

    run_any()


if __name__ == "__main__":
    main()
