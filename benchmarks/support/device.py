"""A worker whose model is a simulated device, for measuring all that is not the model: python -m benchmarks.support.device.

It takes BENCH_DEVICE_NS nanoseconds a token, padding included, and no CPU meanwhile: it sleeps. All else is the worker as it
is, with a bundle of `bundles.device_bundle`; nothing of this lies in the product, which cannot be talked into it.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass
from typing import Final

from pipeline.bundles import Bundle
from pipeline.exits import exit_code
from pipeline.settings import Settings
from workers import app
from workers.session import Ids, Logits, Session, open_session

MODULE: Final = ("benchmarks.support.device",)
"""What to start in place of a worker."""
VARIABLE: Final = "BENCH_DEVICE_NS"


@dataclass(frozen=True, slots=True)
class Device(Session):
    """A session that takes its time; one run at a time, as a device does."""

    ns_per_token: int
    busy: threading.Lock

    def run(self, ids: Ids, mask: Ids) -> Logits:
        """Logits [rows, labels]."""
        with self.busy:
            time.sleep(ids.size * self.ns_per_token / 1e9)
        return Session.run(self, ids, mask)


def open_device(bundle: Bundle, settings: Settings) -> Session:
    """What a worker opens in place of its model."""
    session = open_session(bundle, settings)
    return Device(session.graph, session.file, session.provider, session.at_once, int(os.environ[VARIABLE]), threading.Lock())


def main() -> int:
    """A worker; exit codes as in `pipeline.exits`."""
    app.open_session = open_device  # type: ignore[attr-defined]
    with exit_code() as outcome:
        app.run_worker(Settings())
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
