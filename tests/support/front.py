"""The whole gateway as an app, with a desk that answers at once, real keys and policies of two tenants: no Kafka, no port."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from pipeline.bundles import open_bundle
from pipeline.gateway.app import build_app
from pipeline.gateway.contract import Context, Desk, Sink
from pipeline.gateway.key_file import create_key, keys_path
from pipeline.gateway.keys import KeyGate
from pipeline.policies import LoadedPolicy, load_policy
from pipeline.settings import Settings
from tests.support.desk import FakeDesk
from tests.support.toy import make_toy_bundle

TENANTS = ("default", "acme")


class FakeClock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        """The same as a date."""
        return datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=self.seconds)


@dataclass
class Gateway:
    """The app and what stands around it."""

    app: FastAPI
    desk: Any
    clock: FakeClock
    settings: Settings

    def key(self, tenant: str = "default", **limits: Any) -> str:
        """A new key for a tenant, which holds at once."""
        _, key = create_key(keys_path(self.settings), tenant, **limits)
        self.clock.seconds += 2
        return key

    @contextmanager
    def client(self, key: str | None = None, **options: Any) -> Iterator[TestClient]:
        """A client of the running app."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        with TestClient(self.app, headers=headers, **options) as client:
            yield client


def make_gateway(folder: Path, desk: Desk | None = None, tracing: Any = None, **changes: Any) -> Gateway:
    """A gateway that keeps its files in `folder`; made twice, it is the same after a restart. A FakeDesk knows its sinks."""
    settings = Settings(state_dir=folder, **changes)
    (folder / "gateway").mkdir(parents=True, exist_ok=True)
    clock, desk = FakeClock(), desk or FakeDesk()
    gate = KeyGate(
        keys_path(settings), texts_per_minute=settings.http_texts_per_minute, clock=clock, now=lambda: datetime.now(UTC)
    )
    models = [open_bundle(_toy(folder / "models")).manifest]
    app = build_app(Context(settings, desk, gate, folder / "gateway", policies_of(settings), models, tracing))
    if isinstance(desk, FakeDesk):
        desk.sinks = sinks_of(app)
    return Gateway(app, desk, clock, settings)


def sinks_of(app: FastAPI) -> list[Sink]:
    """What keeps outcomes."""
    return [sink for part in app.state.parts for sink in part.sinks]


def policies_of(settings: Settings) -> Any:
    """The default policy for each of two tenants."""
    loaded = load_policy(settings.policies_dir / "default.toml")
    found: Mapping[str, LoadedPolicy] = dict.fromkeys(TENANTS, loaded)
    return lambda: found


def _toy(models_dir: Path) -> Path:
    return models_dir / "toy" if (models_dir / "toy").exists() else make_toy_bundle(models_dir)
