"""What a gateway needs on its machine and of Kafka before it serves: a folder, a port, topics, rights."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from pipeline.admission import admit
from pipeline.backoff import Backoff
from pipeline.locks import held
from pipeline.settings import Settings
from pipeline.topics import admin
from schemas.errors import ConfigurationError

_LOG = logging.getLogger(__name__)


@contextmanager
def own_folder(settings: Settings) -> Iterator[Path]:
    """The folder of this instance, which no other gateway has while we do; raises ConfigurationError where one has."""
    name = settings.instance_id or "gateway"
    folder = settings.state_dir / "gateway" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with held(folder, f"gateway {name} runs already in {folder}; give each its own --instance-id"):
        yield folder


@contextmanager
def listening(settings: Settings, *, keys: bool) -> Iterator[socket.socket]:
    """The socket on which clients reach us, bound and listening, so that nobody else gets the port.

    Raises ConfigurationError for an address that is taken or not ours, and for one wider than this machine without keys.
    """
    family, address = _address(settings)
    if not (keys or settings.http_insecure or ip_address(address[0].partition("%")[0]).is_loopback):
        raise ConfigurationError(
            f"without API keys everybody who reaches {settings.http_host} could use the gateway: make one with "
            "`llmos keys create`, or say --insecure (LLMOS_HTTP_INSECURE)"
        )
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError as error:
            raise ConfigurationError(
                f"{settings.http_host} port {settings.http_port}: {error.strerror}; name others by --http-host and --http-port"
            ) from error
        yield listener


def _address(settings: Settings) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(settings.http_host, settings.http_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"http host {settings.http_host}: {error.strerror}") from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # IPv6 has two more numbers, which bind takes as well


def url_of(listener: socket.socket) -> str:
    """How a client on this machine names what `listener` is bound to."""
    host, port, *_ = listener.getsockname()
    return http_url(host, port)


def http_url(host: str, port: int) -> str:
    """The address of `port` at `host`, which may be one of IPv6."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def kafka_is_ready(settings: Settings) -> None:
    """Return once our topics are there and our rights are granted.

    Waits for topics as every stage does, then raises ConfigurationError, which names the command that makes them.
    """
    reads = [settings.gateway_topic, settings.results_topic, settings.dead_letters_topic]
    admit(settings, reads=reads, writes=[settings.jobs_topic])
    backoff = Backoff(settings.kafka_delivery_timeout_ms / 1000)
    make = f"`llmos topics create --gateway {settings.instance_id or 'gateway'}`"
    with admin(settings) as client:
        while missing := sorted({settings.jobs_topic, *reads} - set(client.list_topics())):
            if (wait_s := backoff.next_s()) is None:
                raise ConfigurationError(f"topics do not exist: {', '.join(missing)}; create them with {make}")
            _LOG.warning("waiting for topics: %s; %s creates them", ", ".join(missing), make)
            time.sleep(wait_s)
