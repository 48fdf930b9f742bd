"""Which dead letters a person means: by place or job, code, time and tenant. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from pydantic_core import from_json

from pipeline.dead_letter_box import Filed, unreplayable
from pipeline.replay_headers import place_name
from schemas.codes import Code
from schemas.dead_letters import DeadLetter
from schemas.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """All conditions must hold; those that are not given hold always. `names` are PARTITION:OFFSET or job ids."""

    names: Collection[str] = ()
    code: Code | None = None
    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None

    @property
    def chooses(self) -> bool:
        """Whether any condition was given."""
        return bool(self.names or self.code or self.since or self.until or self.tenant)

    def fits(self, filed: Filed) -> bool:
        """Whether `filed` is meant."""
        letter = filed.letter
        return (
            (not self.names or filed.name in self.names or letter.job_id in self.names)
            and self.code in (None, letter.code)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
            and (self.tenant is None or tenant_of(letter) == self.tenant)
        )


@dataclass(slots=True, kw_only=True)
class Replayable:
    """Of all dead letters those to replay, one by one, and counts of the others that were chosen.

    Iterating raises ConfigurationError for a letter that was named and cannot be replayed; others that cannot are passed over.
    """

    found: Iterable[Filed]
    choice: Choice
    before: Collection[str]
    edited: bool
    chosen: int = 0
    skipped: int = 0
    unreplayable: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Filed]:
        for filed in self.found:
            if not self.choice.fits(filed):
                continue
            self.chosen += 1
            reason = unreplayable(filed, edited=self.edited)
            if place_name(filed.place) in self.before:
                self.skipped += 1
            elif reason and self.choice.names:
                raise ConfigurationError(reason)
            elif reason:
                self.unreplayable.append(reason)
            else:
                yield filed


def tenant_of(letter: DeadLetter) -> str | None:
    """Whose job it is; None for what is no job, or cannot be read as one."""
    original = letter.original.value
    if original is None or not original.complete:
        return None
    try:
        job = from_json(original.to_bytes())
    except ValueError:
        return None
    tenant = job.get("tenant", "default") if isinstance(job, dict) else None
    return tenant if isinstance(tenant, str) else None
