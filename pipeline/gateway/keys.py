"""Who may call: the gate that looks at the key of each request, and at how much its owner has sent.

Where the key file holds no key, everybody is the tenant "default", whatever key they show: clients of other services refuse to
start without one. Once a key was seen, keys are required until the gateway is restarted, whatever becomes of the file.
"""

import hmac
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipeline.gateway.contract import Caller, Unauthenticated
from pipeline.gateway.exchange import Exchange, current_exchange
from pipeline.gateway.key_file import ApiKey, hash_key, read_keys
from pipeline.gateway.limits import Limits
from schemas.errors import ConfigurationError

LOOK_S: Final = 1.0
"""The file is looked at so often, at most: a revoked key is refused within that time."""
KEY_CHARACTERS_MAX: Final = 512
"""What is longer is no key of ours, and not worth a hash."""
OPEN_TENANT: Final = "default"
"""Whose policy decides where no keys are asked."""

_log = logging.getLogger(__name__)


class KeyGate:
    """The gate of a key file. For the event loop's thread only; `open` first, to hear of a file that cannot be used."""

    def __init__(
        self,
        file: Path,
        *,
        texts_per_minute: int = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._file = file
        self._texts_per_minute = texts_per_minute
        self._clock = clock
        self._now = now
        self._limits = Limits(clock)
        self._keys: dict[str, ApiKey] = {}
        self._required = False
        self._looked_at: float | None = None
        self._stamp: tuple[int, ...] | None = None

    def open(self) -> None:
        """Read the file; raises ConfigurationError where it is damaged or not to be trusted."""
        self._looked_at = self._clock()
        self._stamp = self._stamp_now()
        self._take_over(read_keys(self._file).keys)

    @property
    def required(self) -> bool:
        """Whether callers must show a key."""
        self._refresh()
        return self._required

    def enter(self, key: str | None, *, texts: int = 1, address: str | None = None) -> Caller:
        """Who shows `key`; raises Unauthenticated or RateLimited.

        Without keys, `address` is whose texts are counted; by default that of the request under way.
        """
        self._refresh()
        exchange = current_exchange()
        found = self._known(key) if self._required else None
        caller = Caller(found.tenant, found.key_id) if found else Caller(OPEN_TENANT)
        if exchange:
            exchange.tenant, exchange.key_id = caller.tenant, caller.key_id
        who = caller.key_id or address or (exchange.address if exchange else "")
        self._count(who, texts, self._limit_of(found), exchange)
        return caller

    def _known(self, key: str | None) -> ApiKey:
        if not key:
            raise Unauthenticated(missing=True)
        digest = hash_key(key) if len(key) <= KEY_CHARACTERS_MAX else ""
        found = self._keys.get(digest)
        # The search is by hash, of which nobody can choose the beginning; the last word has a comparison in constant time.
        if found is None or not hmac.compare_digest(found.sha256, digest) or found.state(self._now()) != "active":
            raise Unauthenticated(missing=False)
        return found

    def _limit_of(self, found: ApiKey | None) -> int:
        own = found.texts_per_minute if found else None
        return self._texts_per_minute if own is None else own

    def _count(self, who: str, texts: int, per_minute: int, exchange: Exchange | None) -> None:
        if not per_minute:
            return
        allowance, refused = self._limits.take(who, texts, per_minute)
        if exchange:
            exchange.allowance = allowance
        if refused:
            raise refused

    def _refresh(self) -> None:
        if self._looked_at is None:
            self.open()
        elif self._clock() - self._looked_at >= LOOK_S:
            self._looked_at = self._clock()
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._reload()

    def _reload(self) -> None:
        if self._stamp is None and self._required:
            _log.error("the keys file %s is gone: the keys that were in it stay valid until a restart", self._file)
            return
        try:
            self._take_over(read_keys(self._file).keys)
        except ConfigurationError as error:
            _log.error("%s: the keys that were in it before stay valid", error)

    def _take_over(self, keys: tuple[ApiKey, ...]) -> None:
        self._keys = {key.sha256: key for key in keys}
        self._required = self._required or bool(keys)

    def _stamp_now(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self._file)  # noqa: PTH116 (called for requests: a Path would cost more than the look)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode, status.st_uid
