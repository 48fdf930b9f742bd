"""What is known of the request under way: the middleware opens it, the gate adds who calls, headers and the log line tell it.

It travels in a context variable, so that no part has to carry it through its calls.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from pipeline.gateway.limits import Allowance


@dataclass(slots=True)
class Exchange:
    """One request and its reply."""

    request_id: str
    address: str = ""
    tenant: str = ""
    key_id: str | None = None
    allowance: Allowance | None = None
    status: int = 0
    """Of the reply, once it has begun."""


_CURRENT: Final[ContextVar[Exchange | None]] = ContextVar("exchange", default=None)


def open_exchange(exchange: Exchange) -> None:
    """Make `exchange` the one of this task, and of what it starts."""
    _CURRENT.set(exchange)


def current_exchange() -> Exchange | None:
    """The exchange of the request that this code works on, if it does."""
    return _CURRENT.get()
