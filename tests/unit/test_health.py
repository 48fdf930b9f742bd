"""The small server of every process: what each path says, whoever asks and however slowly."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from pipeline import health as module
from pipeline.cli.main import app
from pipeline.embedded import free_port
from pipeline.health import answer, serving_health
from pipeline.ready import NOT_UP, Readiness
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from tests.support.waiting import wait_until


@pytest.fixture
def settings() -> Settings:
    return Settings(metrics_port=free_port())


@pytest.fixture
def readiness(settings: Settings) -> Iterator[Readiness]:
    """Of a process whose health is served."""
    told = Readiness(settings)
    with serving_health(settings, told):
        yield told


def asked(settings: Settings, path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
    """The reply to a request, and its body."""
    with closing(HTTPConnection(settings.metrics_host, settings.metrics_port, timeout=10)) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response, response.read()


def test_readiness_is_told_as_it_stands(settings: Settings, readiness: Readiness) -> None:
    response, body = asked(settings, "/readyz")
    assert (response.status, json.loads(body)) == (503, {"status": "not ready", "because": [NOT_UP]})
    readiness.announce(up=True)
    response, body = asked(settings, "/readyz?verbose")
    assert (response.status, json.loads(body)) == (200, {"status": "ready"})
    assert response.headers["content-type"] == "application/json"


def test_a_process_that_drains_is_alive_and_one_that_gave_up_is_not(settings: Settings, readiness: Readiness) -> None:
    readiness.announce(up=True)
    readiness.announce(up=False)
    assert (asked(settings, "/livez")[0].status, asked(settings, "/readyz")[0].status) == (200, 503)
    readiness.give_up()
    response, body = asked(settings, "/livez")
    assert (response.status, json.loads(body)["status"]) == (503, "ending")


def test_metrics_are_what_prometheus_reads(settings: Settings, readiness: Readiness) -> None:
    response, body = asked(settings, "/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "llmos_jobs_done" in {family.name for family in text_string_to_metric_families(body.decode())}
    assert "openmetrics" in answer("/metrics", "application/openmetrics-text;version=1.0.0", readiness).kind


@pytest.mark.parametrize(
    ("path", "status"), [("/livez", 200), ("/readyz", 503), ("/metrics", 200), ("/", 404), ("/metricsz", 404)]
)
def test_head_is_get_without_its_body(settings: Settings, readiness: Readiness, path: str, status: int) -> None:
    response, body = asked(settings, path, "HEAD")
    assert (response.status, body) == (status, b"")
    full, body = asked(settings, path)
    assert full.status == status
    assert body
    assert response.headers["content-type"] == full.headers["content-type"]


def test_what_it_does_not_know_it_refuses(settings: Settings, readiness: Readiness) -> None:
    assert asked(settings, "/livez", "POST")[0].status == 501
    assert "Python" not in (asked(settings, "/livez")[0].headers["server"] or "")


def test_a_client_that_never_asks_is_cut_off(settings: Settings, readiness: Readiness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.2)
    with socket.create_connection(("127.0.0.1", settings.metrics_port), timeout=10) as slow:
        slow.sendall(b"GET /livez HTTP/1.1\r\n")  # and no more
        assert slow.recv(1) == b""


def test_more_connections_than_it_holds_are_cut_off_and_the_next_one_is_served(
    settings: Settings, readiness: Readiness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 1)
    address = "127.0.0.1", settings.metrics_port
    with socket.create_connection(address, timeout=10) as first, socket.create_connection(address, timeout=10) as second:
        assert second.recv(1) == b""
        first.sendall(b"HEAD /livez HTTP/1.0\r\n\r\n")
        assert first.recv(12).endswith(b"200")
    wait_until(lambda: _status(settings) == 200, "room again")


def _status(settings: Settings) -> int:
    try:
        return asked(settings, "/livez")[0].status
    except OSError:
        return 0


def test_without_a_port_nothing_listens() -> None:
    settings = Settings(metrics_port=0)
    with serving_health(settings, Readiness(settings)):
        assert not [thread for thread in module.threading.enumerate() if thread.name == "health"]


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    settings = Settings(metrics_host=host, metrics_port=9464)
    with pytest.raises(ConfigurationError, match=f"metrics port 9464 of {host}"), serving_health(settings, Readiness(settings)):
        pytest.fail("it must not serve")


def test_the_port_is_free_again_afterwards(settings: Settings) -> None:
    for _ in range(2):
        with serving_health(settings, Readiness(settings)):
            assert asked(settings, "/livez")[0].status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 (for as long as a test takes)
def test_the_command_asks_on_this_machine(host: str) -> None:
    settings = Settings(metrics_host=host, metrics_port=free_port())
    environment = {"LLMOS_METRICS_HOST": host, "LLMOS_METRICS_PORT": str(settings.metrics_port)}
    readiness = Readiness(settings)
    with serving_health(settings, readiness):
        waiting = CliRunner().invoke(app, ["health"], env=environment)
        alive = CliRunner().invoke(app, ["health", "--live"], env=environment)
        readiness.announce(up=True)
        ready = CliRunner().invoke(app, ["health", "--port", str(settings.metrics_port)], env={"LLMOS_METRICS_HOST": host})
    gone = CliRunner().invoke(app, ["health"], env=environment)
    assert [done.exit_code for done in (waiting, alive, ready, gone)] == [1, 0, 0, 1]
    assert NOT_UP in waiting.output
    assert "no answer from 127.0.0.1" in gone.output
    assert '{"status": "ready"}' in ready.output


def test_the_command_wants_to_know_which_process() -> None:
    done = CliRunner().invoke(app, ["health"])
    assert done.exit_code == 3
    assert "LLMOS_METRICS_PORT" in done.output
