"""The whole system on one machine: one a state folder, its addresses remembered while it runs, all stopped in order."""

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import system
from pipeline.kafka import BROKER_FILE, bootstrap_servers, idempotence
from pipeline.settings import Settings
from pipeline.supervise import Child
from pipeline.system import GATEWAY_FILE, http_port_of, running
from schemas.errors import ConfigurationError, TransientError

COUNTS: dict[str, Any] = {"preprocess": 1, "workers": 2, "kafka_port": 0, "http_port": None}
WITH_GATEWAY: dict[str, Any] = {**COUNTS, "http_port": 8123}


class FakeWorld:
    """What `running` starts, and the order in which it does."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.children: Sequence[Child] = ()
        self.ready = True

    def broker(self, _log_file: Path, port: int) -> Any:
        @contextmanager
        def start() -> Any:
            self.did.append(f"broker on {port}")
            yield type("Broker", (), {"bootstrap": "127.0.0.1:4711"})
            self.did.append("broker stopped")

        return start()

    def create_topics(self, settings: Settings, reply_topics: Sequence[str]) -> tuple[list[str], list[str]]:
        self.did.append(" and ".join([f"topics at {settings.kafka_bootstrap}", *reply_topics]))
        return ["llmos.jobs"], []

    def supervisor(self, children: Sequence[Child], *_: object) -> Any:
        self.children = children
        return self

    def start(self) -> None:
        self.did.append("children started")
        if not self.ready:
            raise TransientError("not ready in 120 s: worker-1")

    def stop(self) -> None:
        self.did.append("children stopped")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> FakeWorld:
    world = FakeWorld()
    monkeypatch.setattr(system, "EmbeddedBroker", world.broker)
    monkeypatch.setattr(system, "create_topics", world.create_topics)
    monkeypatch.setattr(system, "Supervisor", world.supervisor)
    return world


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def quiet(_: str) -> None:
    """Nobody listens."""


def test_everything_starts_and_stops_in_order(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet) as up:
        assert up.settings.kafka_bootstrap == "127.0.0.1:4711"
        assert world.did == ["broker on 0", "topics at 127.0.0.1:4711", "children started"]
    assert world.did[3:] == ["children stopped", "broker stopped"]


def test_preprocess_comes_before_the_workers_so_that_it_is_drained_first(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet):
        assert [child.name for child in world.children] == ["preprocess-1", "worker-1", "worker-2"]


def test_each_child_knows_its_broker_its_state_and_its_name(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet):
        environment = world.children[2].environment
    assert environment["LLMOS_KAFKA_BOOTSTRAP"] == "127.0.0.1:4711"
    assert environment["LLMOS_STATE_DIR"] == str(settings.state_dir)
    assert environment["LLMOS_INSTANCE_ID"] == "worker-2"
    assert len({child.ready_file for child in world.children}) == 3


def test_a_broker_of_ones_own_is_used_and_left_alone(world: FakeWorld, settings: Settings) -> None:
    mine = settings.model_copy(update={"kafka_bootstrap": "kafka:9092"})
    with running(mine, **COUNTS, say=quiet) as up:
        assert up.broker is None
        assert json.loads((settings.state_dir / BROKER_FILE).read_text()) == {"bootstrap": "kafka:9092", "embedded": False}
    assert not [line for line in world.did if line.startswith("broker")]


def test_the_broker_is_remembered_while_it_runs_and_forgotten_after(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet):
        assert bootstrap_servers(settings) == ["127.0.0.1:4711"]
        assert not idempotence(settings), "the embedded broker cannot"
        assert not list(settings.state_dir.glob("*.new"))
    assert not (settings.state_dir / BROKER_FILE).exists()
    with pytest.raises(ConfigurationError, match="llmos up"):
        bootstrap_servers(settings)


def test_a_second_system_in_the_same_folder_is_refused_and_harms_nothing(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet):
        with pytest.raises(ConfigurationError, match="runs already"), running(settings, **COUNTS, say=quiet):
            pytest.fail("two at once")
        assert (settings.state_dir / BROKER_FILE).exists()
        assert world.did.count("children started") == 1


def test_when_one_is_gone_the_next_may_come(world: FakeWorld, settings: Settings) -> None:
    for _ in range(2):
        with running(settings, **COUNTS, say=quiet):
            pass
    assert world.did.count("children started") == 2


def test_a_start_that_fails_stops_all_that_was_started(world: FakeWorld, settings: Settings) -> None:
    world.ready = False
    with pytest.raises(TransientError), running(settings, **COUNTS, say=quiet):
        pytest.fail("it is not ready")
    assert world.did[-1] == "children stopped"
    assert not (settings.state_dir / BROKER_FILE).exists()


def test_topics_that_cannot_be_created_start_no_children(
    world: FakeWorld, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigurationError("the broker refuses to create llmos.jobs")

    monkeypatch.setattr(system, "create_topics", refuse)
    with pytest.raises(ConfigurationError), running(settings, **COUNTS, say=quiet):
        pytest.fail("no topics, no system")
    assert "children started" not in world.did


def test_it_says_what_it_does(world: FakeWorld, settings: Settings) -> None:
    said: list[str] = []
    with running(settings, **COUNTS, say=said.append):
        pass
    assert said == ["embedded broker at 127.0.0.1:4711", "1 topics created, 8 partitions each"]


def test_the_gateway_comes_first_so_that_it_is_drained_before_what_it_waits_for(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **WITH_GATEWAY, say=quiet):
        gateway, *others = world.children
    assert [gateway.name, *(child.name for child in others)] == ["gateway", "preprocess-1", "worker-1", "worker-2"]
    assert list(gateway.command[-5:]) == ["-m", "pipeline", "gateway", "--http-port", "8123"]
    assert gateway.environment["LLMOS_INSTANCE_ID"] == "gateway"


def test_the_gateways_reply_topic_is_there_before_anybody_starts(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **WITH_GATEWAY, say=quiet):
        assert world.did[1:] == ["topics at 127.0.0.1:4711 and llmos.replies.gateway", "children started"]


def test_the_gateways_address_is_told_and_remembered_while_it_runs(world: FakeWorld, settings: Settings) -> None:
    file = settings.state_dir / GATEWAY_FILE
    with running(settings, **WITH_GATEWAY, say=quiet) as up:
        assert up.gateway_url == "http://127.0.0.1:8123"
        assert json.loads(file.read_text()) == {"url": up.gateway_url}
    assert not file.exists()


def test_without_a_gateway_there_is_no_address(world: FakeWorld, settings: Settings) -> None:
    with running(settings, **COUNTS, say=quiet) as up:
        assert up.gateway_url is None
        assert not (settings.state_dir / GATEWAY_FILE).exists()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


def test_a_port_that_was_asked_for_is_taken_or_named(settings: Settings, taken: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"port {taken} of 127\.0\.0\.1 is taken"):
        http_port_of(settings, taken)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = int(probe.getsockname()[1])
    assert http_port_of(settings, free) == free


def test_a_port_of_the_settings_that_is_taken_gives_way_to_a_free_one(settings: Settings, taken: int) -> None:
    port = http_port_of(settings.model_copy(update={"http_port": taken}), None)
    assert port not in {0, taken}
    assert http_port_of(settings.model_copy(update={"http_port": port}), None) == port


def test_port_0_is_any_free_one(settings: Settings) -> None:
    assert http_port_of(settings, 0) > 0
