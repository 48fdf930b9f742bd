"""What the parts of the gateway promise each other: who calls, how jobs go out and outcomes come back, what can go wrong."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter

from pipeline.policies import LoadedPolicy
from pipeline.settings import Settings
from schemas.bundles import BundleManifest
from schemas.dead_letters import DeadLetter
from schemas.jobs import TextJob
from schemas.results import InferenceResult

if TYPE_CHECKING:
    from pipeline.spans import Tracing


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request: the tenant whose policy and data it sees, and the key that it showed (None where none is asked)."""

    tenant: str
    key_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job, as the bytes that lie on the reply topic; `dead` where they are a dead letter."""

    job_id: str
    value: bytes
    dead: bool

    def result(self) -> InferenceResult | DeadLetter:
        """The message in `value`."""
        model = DeadLetter if self.dead else InferenceResult
        return model.model_validate_json(self.value)


class Desk(Protocol):
    """Hands jobs to Kafka and waits for outcomes. It sets `reply_to` itself. For the event loop's thread only."""

    async def ask(self, jobs: Sequence[TextJob], wait_s: float | None = None) -> list[Outcome]:
        """The outcome of each job, in order, within `wait_s` seconds (by default the setting `http_wait_s`).

        Raises Overloaded before anything is published, Unavailable where Kafka takes nothing, Late: then the jobs go on.
        """
        ...

    async def hand_over(self, jobs: Sequence[TextJob]) -> None:
        """Return once Kafka has confirmed every job; outcomes reach the sinks alone.

        Waits for room; raises Unavailable, after which any of the jobs may yet have been published: the same ids may be handed
        over again.
        """
        ...


class Sink(Protocol):
    """Keeps outcomes that outlive a request, so that a restart loses none."""

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """Store durably those that are yours, and ignore the rest. Called from one thread that is not the event loop's.

        An outcome may come more than once, also after a restart. The position on the reply topic moves on only after it returns;
        what it raises stops the gateway.
        """
        ...

    def waiting(self) -> Sequence[str]:
        """Some ids, the oldest first, of jobs without an outcome that the desk has or soon gets: they are looked for elsewhere.

        Names a job before the desk is asked about it, so that no look passes over its outcome. Called from any thread.
        """
        ...


class Gate(Protocol):
    """Knows the API keys and how often each may call."""

    def enter(self, key: str | None, *, texts: int = 1) -> Caller:
        """Who shows `key`; raises Unauthenticated or RateLimited. `texts` is what the request costs."""
        ...


class Part(Protocol):
    """One API: routes, what it keeps, and what it does beside answering requests."""

    router: APIRouter
    sinks: Sequence[Sink]

    async def start(self) -> None:
        """Take up what a restart has interrupted."""
        ...

    async def stop(self) -> None:
        """Let go of it again, within a second."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What every part may use. `folder` is for what must survive a restart; it exists."""

    settings: Settings
    desk: Desk
    gate: Gate
    folder: Path
    policies: Callable[[], Mapping[str, LoadedPolicy]]
    models: Sequence[BundleManifest]
    tracing: "Tracing | None" = None


class GatewayError(Exception):
    """Root of what a request may end in beside a result; each API writes it in its own words."""


class Unauthenticated(GatewayError):  # noqa: N818 (names what the caller is)
    """No key, or one that is unknown or revoked."""

    def __init__(self, *, missing: bool) -> None:
        super().__init__("no API key" if missing else "an unknown or revoked API key")
        self.missing = missing


class RateLimited(GatewayError):  # noqa: N818
    """The key has used up what it may call in a minute."""

    def __init__(self, *, limit: int, retry_after_s: float) -> None:
        super().__init__(f"{limit} texts a minute are allowed; try again in {retry_after_s:.2f} s")
        self.limit = limit
        self.retry_after_s = retry_after_s


class Overloaded(GatewayError):  # noqa: N818
    """More is under way than the gateway may have; nothing was published."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"too much is under way; try again in {retry_after_s:.0f} s")
        self.retry_after_s = retry_after_s


class Unavailable(GatewayError):  # noqa: N818
    """Kafka cannot be reached, or the gateway is stopping."""


class Late(GatewayError):  # noqa: N818
    """No outcome in time; the jobs go on under these ids."""

    def __init__(self, job_ids: Sequence[str]) -> None:
        super().__init__(f"no outcome in time for {len(job_ids)} of the texts; they are still worked on")
        self.job_ids = tuple(job_ids)


class Refused(GatewayError):  # noqa: N818
    """A job became a dead letter."""

    def __init__(self, letter: DeadLetter) -> None:
        super().__init__(f"{letter.code}: {letter.reason}")
        self.letter = letter
