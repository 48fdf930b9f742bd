"""What a replayed record says of itself in its headers, so that the history of a job goes on.

A stranger may write them as well: they count tries and name a job that names itself not, and decide nothing else.
"""

from collections.abc import Sequence
from typing import Final

from schemas.dead_letters import DeadLetter
from schemas.ids import derived_job_id
from schemas.jobs import ID_CHARACTERS_MAX
from schemas.work import Source

REPLAY_OF: Final = "llmos-replay-of"
"""TOPIC/PARTITION/OFFSET of the dead letter."""
ATTEMPTS: Final = "llmos-attempts"
"""How often the message was tried before, all its replays together."""
JOB_ID: Final = "llmos-job-id"
"""The id of the job, for one that brings none itself: so its replay, and the replay of that, is the same job."""
_ATTEMPTS_MAX: Final = 1_000_000
_DIGITS_MAX: Final = len(str(_ATTEMPTS_MAX))

Headers = Sequence[tuple[str, bytes | None]]


def place_name(place: Source) -> str:
    """A dead letter's place as headers and notes name it."""
    return f"{place.topic}/{place.partition}/{place.offset}"


def replay_headers(letter: DeadLetter, place: Source) -> list[tuple[str, bytes]]:
    """The original's headers, and ours in place of what an earlier replay wrote."""
    kept = [(header.name, header.value.to_bytes() if header.value else b"") for header in letter.original.headers]
    ours = {REPLAY_OF: place_name(place), ATTEMPTS: str(letter.attempts)}
    if letter.job_id is not None:
        ours[JOB_ID] = letter.job_id
    elif letter.stage == "preprocess":  # made from the letter's place: published twice, it is one job all the same
        failed_ms = int(letter.failed_at.timestamp() * 1000)
        ours[JOB_ID] = derived_job_id(failed_ms, place.topic, place.partition, place.offset, 0)
    foreign = [header for header in kept if header[0] not in {REPLAY_OF, ATTEMPTS, JOB_ID}]
    return foreign + [(name, value.encode()) for name, value in ours.items()]


def tried_before(headers: Headers) -> int:
    """How often the message was tried before; 0 for one that is no replay, or says nothing sensible."""
    digits = _last(headers, ATTEMPTS) or b""
    return min(int(digits), _ATTEMPTS_MAX) if digits.isdigit() and len(digits) <= _DIGITS_MAX else 0


def given_job_id(headers: Headers) -> str | None:
    """The id for a job that brings none; None where there is none, or no sensible one."""
    try:
        job_id = (_last(headers, JOB_ID) or b"").decode()
    except UnicodeDecodeError:
        return None
    return job_id if 1 <= len(job_id) <= ID_CHARACTERS_MAX else None


def _last(headers: Headers, name: str) -> bytes | None:
    return next((value for found, value in reversed(headers) if found == name), None)
