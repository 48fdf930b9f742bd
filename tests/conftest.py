"""Fixtures that every layer may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import workers  # noqa: F401 (turns ONNX Runtime's telemetry off, before a test loads it)
from pipeline.settings import Settings
from tests.support.brokers import any_broker
from tests.support.toy import make_toy_models

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test sees the defaults, whatever the machine is set to; and what it starts writes to its own folder."""
    for name in [name for name in os.environ if name.startswith("LLMOS_") and name != "LLMOS_TEST_KAFKA"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LLMOS_CONFIG_FILE", str(tmp_path / "none.toml"))
    monkeypatch.setenv("LLMOS_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def toy_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment variables that serve the toy model."""
    return make_toy_models(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def toy_settings(toy_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that serve the toy model."""
    for name, value in toy_environment.items():
        monkeypatch.setenv(name, value)
    return Settings(worker_provider="cpu")


@pytest.fixture(scope="session")
def broker_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment variables that reach one broker for the whole run; use a topic prefix of your own on it."""
    with any_broker(tmp_path_factory.mktemp("broker") / "state") as environment:
        yield environment
