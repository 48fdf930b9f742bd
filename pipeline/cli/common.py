"""What the commands share: the bootstrap option, settings with overrides, errors as exit codes, times such as 10m."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from pipeline.exits import exit_code
from pipeline.settings import Settings
from schemas.errors import ConfigurationError

OUT = Console(highlight=False)
ERR = Console(stderr=True, highlight=False)

Bootstrap = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Kafka brokers, joined by commas; else LLMOS_KAFKA_BOOTSTRAP, else the broker that `llmos up` last started here.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="From when on: 30s, 10m, 2h, 3d ago, or a time such as 2026-11-24T08:00:00Z.")
]
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def settings_of(bootstrap: str | None = None, **changes: Any) -> Settings:  # noqa: ANN401 (settings of any type)
    """The settings, with what the command line says; raises ValidationError."""
    given = {name: value for name, value in {"kafka_bootstrap": bootstrap, **changes}.items() if value is not None}
    return Settings(**given)


def parse_since(text: str | None, option: str = "--since") -> datetime | None:
    """The moment that `text` names, where 10m is ten minutes ago; raises ConfigurationError, which names the option."""
    return None if text is None else _moment(text, option, -1)


def parse_until(text: str | None, option: str) -> datetime | None:
    """The moment that `text` names, where 10m is in ten minutes; raises ConfigurationError, which names the option."""
    return None if text is None else _moment(text, option, 1)


def _moment(text: str, option: str, direction: int) -> datetime:
    span = re.fullmatch(r"(\d+)([smhd])", text)
    try:
        distance = timedelta(**{_UNITS[span[2]]: int(span[1])}) if span else timedelta()
        moment = datetime.now(UTC) + direction * distance if span else datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{option} {text!r} is neither like 10m nor like 2026-11-24T08:00:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def say(text: str) -> None:
    """Print one line for a person, brackets and all."""
    OUT.print(text, markup=False)


def plain(text: str) -> str:
    """What a stranger wrote, as a terminal may show it: no markup, no control characters."""
    return escape("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))


def command(run: Callable[..., int | None]) -> Callable[..., None]:
    """A typer command from a function that returns its exit code (None: 0) and may raise anything of the error tree."""

    @wraps(run)
    def wrapped(*args: Any, **options: Any) -> None:  # noqa: ANN401
        with exit_code() as outcome:
            outcome.code = run(*args, **options) or 0
        raise typer.Exit(outcome.code)

    return wrapped
