"""The container engine and its compose command, as this machine has them."""

import json
import os
import resource
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[3]
PROJECT: Final = "llmos-compose-test"
COMMAND_S: Final = 1_800
"""The longest that one command may take: a build that downloads the CUDA libraries."""
FILES_MAX, PROCESSES_MAX = 16_384, 4_096
"""What a container may open, at most; podman asks for more by itself than it is allowed to in some sandboxes."""


class CommandError(Exception):
    """A command failed; holds what it said last."""


def shell(*command: str, environment: Mapping[str, str] | None = None, stdin: bytes | None = None) -> str:
    """What `command` printed on standard output; raises CommandError with its last words on standard error."""
    done = subprocess.run(
        command, check=False, capture_output=True, cwd=ROOT, env=dict(environment or os.environ), input=stdin, timeout=COMMAND_S
    )
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise CommandError(f"{' '.join(command)} ended with {done.returncode}:\n{said[-3_000:]}")
    return done.stdout.decode()


@dataclass(frozen=True, slots=True)
class Engine:
    """Runs commands of the engine (`podman`, `docker`) and of its compose."""

    program: str
    compose_command: tuple[str, ...]
    environment: Mapping[str, str]

    def __call__(self, *arguments: str, stdin: bytes | None = None) -> str:
        """`podman ARGUMENTS`: its standard output."""
        return shell(self.program, *arguments, environment=self.environment, stdin=stdin)

    def compose(self, *arguments: str, stdin: bytes | None = None) -> str:
        """`podman-compose ARGUMENTS` for our project: its standard output."""
        return shell(*self.compose_command, "--project-name", PROJECT, *arguments, environment=self.environment, stdin=stdin)

    def compose_process(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """The same, not waited for; its standard input is a pipe."""
        command = [*self.compose_command, "--project-name", PROJECT, *arguments]
        return subprocess.Popen(command, cwd=ROOT, env=dict(self.environment), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def has(self, image: str) -> bool:
        """Whether the image lies here, or can be had from its registry."""
        for command in (("image", "inspect", image), ("pull", "--quiet", image)):
            try:
                self(*command)
            except CommandError:
                continue
            return True
        return False

    def containers(self, service: str) -> list[str]:
        """Names of a service's containers, ended ones included."""
        labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": service}
        filters = [word for name, value in labels.items() for word in ("--filter", f"label={name}={value}")]
        return sorted(self("ps", "--all", *filters, "--format", "{{.Names}}").split())

    def inspect(self, container: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        found: dict[str, Any] = json.loads(self("container", "inspect", container))[0]
        return found

    def healthy(self, container: str) -> bool:
        """Whether a container passes its health check now: podman leaves checks to systemd, which not all machines have."""
        if self.program != "podman":
            return bool(self.inspect(container)["State"].get("Health", {}).get("Status") == "healthy")
        try:
            self("healthcheck", "run", container)
        except CommandError:
            return False
        return True


def find_engine(compose: str | None, scratch: Path, variables: Mapping[str, str]) -> Engine:
    """Docker where it answers, else podman; raises CommandError where there is neither."""
    environment = {**os.environ, **variables}
    if shutil.which("docker") and _answers("docker", "compose", "version") and _answers("docker", "info"):
        return Engine("docker", tuple((compose or "docker compose").split()), environment)
    if not shutil.which("podman"):
        raise CommandError(
            "neither Docker with compose nor podman: on Debian, apt-get install podman runc catatonit iptables debootstrap"
        )
    environment["DISABLE_HC_SYSTEMD"] = "true"
    environment.setdefault("CONTAINERS_CONF", str(_modest(scratch / "containers.conf")))
    return Engine("podman", tuple((compose or "podman-compose").split()), environment)


def _answers(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _modest(file: Path) -> Path:
    """podman's configuration with limits that this process may set."""
    files = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], FILES_MAX)
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], PROCESSES_MAX)
    file.write_text(f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]\n', "utf-8")
    return file
