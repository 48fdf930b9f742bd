"""The running stack: up, healthy, scaled, killed, stopped, asked."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from subprocess import Popen
from typing import Any, Final

from tests.acceptance.compose.engine import Engine
from tests.acceptance.compose.report import Check
from tests.support.waiting import wait_until

OURS: Final = ("preprocess", "worker", "gateway")
START_S: Final = 300
DRAINED_S: Final = 900
GRACE_S: Final = 40
"""stop_grace_period of our services."""
_TRY_S: Final = 1
_CLI: Final = ("--profile", "cli", "run", "--rm", "--no-deps", "-T", "cli")


@dataclass(frozen=True, slots=True)
class Stack:
    """All services that can run here, by name, and the ports on this machine by the variables that name them."""

    engine: Engine
    services: tuple[str, ...]
    ports: Mapping[str, int]

    def up(self) -> None:
        """Start what does not run, as the file says; returns when all of it is healthy."""
        self.engine.compose("up", "--detach", *self.services)
        for service in self.services:
            if service != "topics":
                self.wait_healthy(service)

    def add(self, service: str, count: int) -> None:
        """Scale a service; what runs already stays. Does not wait."""
        self.engine.compose("up", "--detach", "--no-recreate", "--no-deps", "--scale", f"{service}={count}", service)

    def wait_healthy(self, service: str, count: int | None = None) -> None:
        """Return once so many containers of `service` (by default all that run) are healthy; fails with what they logged."""

        def healthy() -> bool:
            time.sleep(_TRY_S)  # a check starts a process in the container
            names = self.running(service)
            return len(names) >= (count or 1) and all(self.engine.healthy(name) for name in names)

        wait_until(healthy, lambda: f"{service} is not healthy:\n{self.log(service)}", START_S)

    def running(self, service: str) -> list[str]:
        """The containers of `service` that run."""
        return [name for name in self.engine.containers(service) if self.engine.inspect(name)["State"]["Running"]]

    def log(self, service: str) -> str:
        """The end of what its containers said."""
        return "\n".join(self.engine("logs", "--tail", "15", name) for name in self.engine.containers(service))

    def kill(self, service: str) -> str:
        """Kill -9 one container of `service`; its name."""
        name = self.running(service)[0]
        self.engine("kill", "--signal", "KILL", name)
        return name

    def stop_ours(self) -> dict[str, int]:
        """Stop our processes, while Kafka goes on; their exit codes, -1 for one that still runs.

        podman-compose stops all services at once, Kafka too, and does not know of containers that were added.
        """
        names = [name for service in OURS for name in self.running(service)]
        self.engine.compose("stop", *OURS)
        for name in [name for service in OURS for name in self.running(service)]:
            self.engine("stop", "--time", str(GRACE_S), name)
        states = {name: self.engine.inspect(name)["State"] for name in names}
        return {name: -1 if state["Running"] else state["ExitCode"] for name, state in states.items()}

    def stop(self) -> None:
        """Stop what still runs."""
        self.engine.compose("stop")

    def down(self) -> None:
        """Remove all of it, volumes too; podman-compose would leave containers that were added, or that start again just now."""
        for services in (("topics", *OURS, "grafana"), ("kafka", "prometheus")):
            if names := [name for service in services for name in self.engine.containers(service)]:
                self.engine("rm", "--force", *names)
        self.engine.compose("--profile", "cli", "down", "--volumes")

    def cli(self, *arguments: str, stdin: bytes | None = None) -> str:
        """What `llmos ARGUMENTS` printed, in a container of its own."""
        return self.engine.compose(*_CLI, *arguments, stdin=stdin)

    def cli_process(self, *arguments: str) -> Popen[bytes]:
        """The same, not waited for; its standard input is a pipe."""
        return self.engine.compose_process(*_CLI, *arguments)

    def behind(self) -> int:
        """Records that the groups have not worked off."""
        described = json.loads(self.cli("topics", "describe", "--json"))
        return sum(group["lag"] for group in described["groups"])

    def wait_drained(self) -> None:
        """Return once no group lags."""
        wait_until(lambda: self.behind() == 0, "the groups still lag", DRAINED_S)

    def get(self, port: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body of a published port's answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[port]}{path}", data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:  # noqa: S310
                return reply.status, reply.read()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read()


def hardening(stack: Stack) -> Iterator[Check]:
    """What the engine says of our containers as they run."""
    for service in (*OURS, "prometheus"):
        for name in stack.running(service):
            seen = stack.engine.inspect(name)
            host = seen["HostConfig"]
            user = seen["Config"]["User"]
            holds = host["ReadonlyRootfs"] and user.split(":")[0] not in {"", "0", "root"} and not seen.get("EffectiveCaps")
            limited = host["Memory"] > 0 and (host.get("NanoCpus") or host.get("CpuQuota") or 0) > 0
            detail = f"user {user}, read-only {host['ReadonlyRootfs']}, {host['Memory'] >> 20} MiB"
            yield Check(f"{name}: not root, read-only, no capabilities, limited", bool(holds and limited), detail)


def targets(stack: Stack) -> Check:
    """Whether Prometheus reaches every process of ours."""

    def seen() -> list[dict[str, Any]]:
        _, body = stack.get("PROMETHEUS_PORT", "/api/v1/targets?state=active")
        found: list[dict[str, Any]] = json.loads(body)["data"]["activeTargets"]
        return found

    expected = sum(len(stack.running(service)) for service in OURS)

    def up() -> bool:
        found = [target for target in seen() if ":9100" in target["scrapeUrl"]]
        return len(found) == expected and all(target["health"] == "up" for target in seen())

    try:
        wait_until(up, "targets", 120)
    except AssertionError:
        return Check(
            "Prometheus reaches every process",
            False,
            "; ".join(f"{t['scrapeUrl']} {t['health']} {t['lastError']}" for t in seen()),
        )
    return Check("Prometheus reaches every process", True, f"{expected} processes")
