"""API keys at rest: a JSON file of who may call, which knows of each key only its SHA-256.

A key holds 256 random bits, so its hash tells nothing about it: others may read the file. Whoever may write it could let himself
in, so a file that group or others may write is refused. Its owner may be another than ours, as with secrets that are mounted.
"""

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, ValidationError

from pipeline.canary import CANARY_TENANT
from pipeline.settings import Settings
from schemas.base import Message, Timestamp
from schemas.bundles import Sha256
from schemas.errors import ConfigurationError

KEY_PREFIX: Final = "llmos_"
"""How every key begins, so that people and secret scanners know one when they see it."""
KEY_BYTES: Final = 32
KEYS_MAX: Final = 10_000
"""Keys in one file, revoked ones included: all of them are read at each change."""
HINT_CHARACTERS: Final = 4
"""The end of a key, which tells a person which of two it is: 24 of its 256 bits."""


def _not_reserved(tenant: str) -> str:
    if tenant == CANARY_TENANT:
        raise ValueError(f"{tenant} is reserved for canaries")
    return tenant


class ApiKey(Message):
    """What is known of one key; never the key."""

    key_id: Annotated[str, Field(pattern=r"^key_[0-9a-f]{16}$")]
    tenant: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"), AfterValidator(_not_reserved)]
    name: Annotated[str, Field(max_length=200)] = ""
    sha256: Sha256
    hint: Annotated[str, Field(max_length=HINT_CHARACTERS)] = ""
    texts_per_minute: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="0: any number; null: what the setting http_texts_per_minute says."
    )
    created_at: Timestamp
    expires_at: Timestamp | None = None
    revoked_at: Timestamp | None = None

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Whether the key opens anything at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "active"


class KeyRing(Message):
    """What the file holds."""

    version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = Field(default=(), max_length=KEYS_MAX)


def keys_path(settings: Settings) -> Path:
    """Where the keys of these settings lie."""
    return settings.http_keys_file or settings.state_dir / "keys.json"


def hash_key(key: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def read_keys(file: Path) -> KeyRing:
    """The keys in `file`, none where there is no file; raises ConfigurationError where it is damaged or not to be trusted."""
    try:
        with file.open("rb") as opened:
            if os.fstat(opened.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ConfigurationError(f"keys file {file}: group or others may write it, and could add keys; chmod 600 it")
            return KeyRing.model_validate_json(opened.read())
    except FileNotFoundError:
        return KeyRing()
    except OSError as error:
        raise ConfigurationError(f"keys file {file}: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigurationError(f"keys file {file}: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(step) for step in found['loc'])}: {found['msg']}"


def create_key(
    file: Path, tenant: str, *, name: str = "", texts_per_minute: int | None = None, expires_at: datetime | None = None
) -> tuple[ApiKey, str]:
    """A new key, written to `file`, and its text, which nobody can find out again; raises ConfigurationError."""
    key = KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)
    made = ApiKey(
        key_id=f"key_{secrets.token_hex(8)}",
        tenant=tenant,
        name=name,
        sha256=hash_key(key),
        hint=key[-HINT_CHARACTERS:],
        texts_per_minute=texts_per_minute,
        created_at=datetime.now(UTC),
        expires_at=expires_at,
    )
    _change(file, lambda keys: (*keys, made))
    return made, key


def revoke_key(file: Path, key_id: str) -> ApiKey:
    """The key after it was revoked; what was revoked stays so. Raises ConfigurationError where no key has this id."""
    revoked: list[ApiKey] = []

    def revoke(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        now = datetime.now(UTC)
        changed = [key.model_copy(update={"revoked_at": key.revoked_at or now}) if key.key_id == key_id else key for key in keys]
        revoked.extend(key for key in changed if key.key_id == key_id)
        if not revoked:
            raise ConfigurationError(f"keys file {file}: no key has the id {key_id!r}")
        return tuple(changed)

    _change(file, revoke)
    return revoked[0]


def _change(file: Path, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
    with _locked(file):
        try:
            ring = KeyRing(keys=change(read_keys(file).keys))
        except ValidationError as error:
            raise ConfigurationError(f"keys file {file}: {_first(error)}") from error
        _write(file, ring.model_dump_json(indent=2).encode() + b"\n")


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(file.with_name(f"{file.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(file: Path, content: bytes) -> None:
    """Replace the file in one step: whoever reads it sees the old keys or the new."""
    fresh = file.with_name(f"{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(content)
        _as_before(file, opened.fileno())
        opened.flush()
        os.fsync(opened.fileno())
    fresh.replace(file)


def _as_before(file: Path, fresh: int) -> None:
    # A gateway that runs as another user than the operator must be able to read the new file where it could read the old.
    with suppress(FileNotFoundError):
        status = file.stat()
        with suppress(PermissionError):
            os.fchown(fresh, status.st_uid, status.st_gid)
            os.fchmod(fresh, stat.S_IMODE(status.st_mode))
