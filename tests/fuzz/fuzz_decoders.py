"""Feeds damaged bytes to the decoders of what comes from outside, and keeps what breaks a promise.

    python -m tests.fuzz.fuzz_decoders --seconds 60 --seed 1

A folder of the corpus is a decoder's; a file is called OUTCOME--WHAT. The promise: a decoder gives what it should or the one
error that it names, whatever comes, and what it gives can be written and read again. One seed gives one sequence of inputs.
"""

import argparse
import json
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice, takewhile
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, Final, cast

from pydantic import ValidationError

from pipeline.preprocess.decode import Accepted, JobRecord, Rejected, decode
from pipeline.preprocess.stage import Stage
from pipeline.settings import Settings
from schemas.codes import Code
from schemas.dead_letters import DeadLetter
from schemas.errors import MessageError
from schemas.jobs import BULK_JOBS_MAX, TextJob
from schemas.work import unpack

CORPUS: Final = Path(__file__).parent / "corpus"
RECORD_BYTES_MAX: Final = 1 << 20
INPUT_BYTES_MAX: Final = 64 << 10
"""Larger inputs are cut: they say little more, and fewer of them fit into a minute."""
AT_MS: Final = 1_795_507_200_250
HEADER_BYTES: Final = 60
"""Of a work batch; its last four are the checksum."""
MORSELS: Final = (
    *(b'"', b"'", b"\\", b"\\u", b"\\ud800", b"\\udc00", b"{", b"}", b"[", b"]", b":", b",", b"\n", b"\0", b" "),
    *(b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-0.0", b"9" * 400, b"9" * 5_000, b"1764000000", b'"version":2,'),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf", b"LLMW"),
    *("\u202e".encode(), "\u0301".encode() * 50, "\u200b".encode(), "\U0010ffff".encode(), "\u2028".encode()),
    *(
        b"[" * 300,
        b'{"a":' * 300,
        b'"text":',
        b'"job_id":"',
        b'"metadata":',
        b'{"text":"a"},' * 501,
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
    ),
)
"""What parsers stumble over."""


@cache
def _stage() -> Stage:
    settings = Settings().model_copy(update={"record_bytes_max": RECORD_BYTES_MAX})
    nobody = SimpleNamespace(policies=SimpleNamespace(current={}))
    return Stage(settings, cast("Any", nobody), lambda: AT_MS)


def read_jobs(data: bytes | None) -> list[str]:
    """Decode a record of jobs; the outcome of each: accepted, or its code."""
    outcomes = list(decode(JobRecord("llmos.jobs", 0, 7, AT_MS, None, (), data), RECORD_BYTES_MAX))
    assert 1 <= len(outcomes) <= BULK_JOBS_MAX, f"{len(outcomes)} outcomes"
    indices = [outcome.source.index for outcome in outcomes]
    assert indices in ([None], list(range(len(outcomes)))), f"places {indices}"
    return [_accepted(outcome) if isinstance(outcome, Accepted) else _rejected(outcome) for outcome in outcomes]


def _accepted(outcome: Accepted) -> str:
    written = outcome.job.model_dump_json()
    assert TextJob.model_validate_json(written) == outcome.job, "the job is read otherwise than it was written"
    assert outcome.job.job_id.encode(), "the job has a key"
    return "accepted"


def _rejected(outcome: Rejected) -> str:
    letter = _stage()._dead_letter(outcome)
    written = letter.model_dump_json().encode()
    assert DeadLetter.model_validate_json(written) == letter, "the dead letter is read otherwise than it was written"
    assert len(written) <= 2 * RECORD_BYTES_MAX, f"a dead letter of {len(written):,} bytes"
    assert letter.job_id is None or letter.job_id.encode(), "the dead letter has a key"
    return letter.code


def read_work(data: bytes) -> list[str]:
    """Take a work batch apart, as it is and with a checksum that is right; the outcome of it as it is."""
    if len(data) >= HEADER_BYTES:
        checksum = struct.pack("<I", zlib.crc32(data[HEADER_BYTES:], zlib.crc32(data[: HEADER_BYTES - 4])))
        _unpacked(data[: HEADER_BYTES - 4] + checksum + data[HEADER_BYTES:])
    return [_unpacked(data)]


def _unpacked(data: bytes) -> str:
    try:
        batch = unpack(data)
    except MessageError as error:
        assert error.code in {Code.WORK_CORRUPT, Code.UNSUPPORTED_VERSION}, f"code {error.code}"  # noqa: PT017 (of no test)
        return error.code
    assert len(batch.description.items) == len(batch.windows), "an item a job"
    assert batch.windows.sum() == len(batch.lengths), "all windows belong to jobs"
    assert batch.lengths.sum() == len(batch.tokens), "all tokens belong to windows"
    return "read"


def read_dead_letter(data: bytes) -> list[str]:
    """Read a dead letter: read, or refused."""
    try:
        letter = DeadLetter.model_validate_json(data)
    except ValidationError:
        return ["refused"]
    assert DeadLetter.model_validate_json(letter.model_dump_json()) == letter, "it is read otherwise than it was written"
    if letter.original.value:
        assert isinstance(letter.original.value.to_bytes(), bytes), "its bytes can be had"
    return ["read"]


TARGETS: Final[dict[str, Callable[[bytes], list[str]]]] = {
    "jobs": read_jobs,
    "work": read_work,
    "dead_letters": read_dead_letter,
}
"""Folder of the corpus → what reads its files: gives outcomes, or raises where a promise is broken."""


def corpus(target: str) -> list[Path]:
    """The files that are fed to `target`."""
    return sorted((CORPUS / target).iterdir())


def inputs(seed: int) -> Iterator[tuple[str, bytes]]:
    """Targets and damaged files of the corpus, without end."""
    dice = Random(seed)
    files = {target: [file.read_bytes() for file in corpus(target)] for target in TARGETS}
    while True:
        target = dice.choice(list(files))
        data = dice.choice(files[target])
        for _ in range(dice.randint(1, 4)):
            data = dice.choice(MUTATIONS)(data, dice, files[target])[:INPUT_BYTES_MAX]
        yield target, data


Mutation = Callable[[bytes, Random, list[bytes]], bytes]


def _flip(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    at = dice.randrange(len(data) or 1)
    return data[:at] + bytes([(data[at] if data else 0) ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def _truncate(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def _remove(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + data[at + dice.randint(1, 16) :]


def _repeat(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    end = at + dice.randint(1, 64)
    return data[:end] + data[at:end] * dice.choice((1, 2, 100)) + data[end:]


def _insert(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice(MORSELS) + data[at:]


def _overwrite(data: bytes, dice: Random, _: list[bytes]) -> bytes:
    at, morsel = dice.randrange(len(data) + 1), dice.choice(MORSELS)
    return data[:at] + morsel + data[at + len(morsel) :]


def _splice(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    other = dice.choice(others)
    return data[: dice.randrange(len(data) + 1)] + other[dice.randrange(len(other) + 1) :]


def _bulk(data: bytes, dice: Random, others: list[bytes]) -> bytes:
    return b"[" + b",".join(dice.choices([data, *others], k=dice.randint(1, 4))) + b"]"


MUTATIONS: Final[tuple[Mutation, ...]] = (_flip, _truncate, _remove, _repeat, _insert, _overwrite, _splice, _bulk)


def broken(target: str, data: bytes) -> Exception | None:
    """What breaks when `target` reads `data`, or None."""
    try:
        TARGETS[target](data)
    except Exception as error:  # noqa: BLE001 (any exception is a broken promise)
        return error
    return None


def run(given: Iterable[tuple[str, bytes]], folder: Path) -> tuple[Counter[str], list[Path]]:
    """Feed what is given; how many each target read, and the files in `folder` of those that broke a promise."""
    read: Counter[str] = Counter()
    kept: list[Path] = []
    for target, data in given:
        read[target] += 1
        if error := broken(target, data):
            kept.append(_keep(folder, target, read.total(), data, error))
    return read, kept


def _keep(folder: Path, target: str, number: int, data: bytes, error: Exception) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{target}-{number}-{type(error).__name__}"
    file.write_bytes(data)
    print(f"{file}: {error!r:.200}", file=sys.stderr)  # noqa: T201 (a tool)
    return file


def main(arguments: list[str] | None = None) -> int:
    """Run as the command line says; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long")
    parser.add_argument("--inputs", type=int, help="how many at most; by default as many as there is time for")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other inputs")
    parser.add_argument("--failures", type=Path, default=Path(tempfile.gettempdir()) / "llmos-fuzz", help="where to keep them")
    given = parser.parse_args(arguments)
    end = time.monotonic() + given.seconds
    fed = takewhile(lambda _: time.monotonic() < end, islice(inputs(given.seed), given.inputs))
    read, kept = run(fed, given.failures)
    print(json.dumps({"seed": given.seed, "read": dict(read), "failures": [str(file) for file in kept]}))  # noqa: T201
    return int(bool(kept))


if __name__ == "__main__":
    sys.exit(main())
