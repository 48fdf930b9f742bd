"""The compose stack, built and run: `python -m tests.acceptance.compose --help`

Builds the images, starts all of docker-compose.yml, publishes jobs from the cli container, adds workers and kills one while they
work, stops everything in the middle, starts it again, and compares what was published with what came of it.
"""

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.acceptance.compose import books, images, stack
from tests.acceptance.compose.engine import CommandError, Engine, find_engine
from tests.acceptance.compose.report import Check, Report
from tests.acceptance.compose.stack import Stack
from tests.support import brokers

PORTS: Final = ("KAFKA_PORT", "GATEWAY_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
FILES: Final = ((), ("-f", "docker-compose.yml", "-f", "docker-compose.gpu.yml"))


def free_ports() -> dict[str, int]:
    """Ports of this machine that nobody has now."""
    with_sockets = [(name, socket.create_server(("127.0.0.1", 0))) for name in PORTS]
    found = {name: listener.getsockname()[1] for name, listener in with_sockets}
    for _, listener in with_sockets:
        listener.close()
    return found


def files_are_clean(engine: Engine) -> Iterator[Check]:
    """Whether compose reads the files, alone and with the override for GPUs."""
    for files in FILES:
        try:
            engine.compose(*files, "--profile", "cli", "config")
        except CommandError as error:
            yield Check(f"config {' '.join(files)}", False, str(error))
        else:
            yield Check(f"config {' '.join(files)}", True)


def work(running: Stack, report: Report, count: int) -> None:
    """While jobs are published: three workers, one killed, all stopped; start again and compare."""
    sent = books.jobs(count)
    began = time.monotonic()
    stream = books.Stream(running, sent)
    running.add("worker", 3)
    running.wait_healthy("worker", 3)
    report.add(Check("three workers, while jobs flow", stream.flows))
    victim = running.kill("worker")
    report.add(Check("a worker killed, while jobs flow", stream.flows, victim))
    codes = running.stop_ours()
    report.add(Check("ours stop, while jobs flow", stream.flows))
    report.add(Check("ours stop with 0", len(codes) >= len(stack.OURS) and not any(codes.values()), json.dumps(codes)))
    report.add(Check("all published from the cli container", stream.end() == 0, f"{count:,} in {time.monotonic() - began:.0f} s"))
    waiting = running.behind()
    report.add(Check("work is left", waiting > 0, f"{waiting} records"))
    running.stop()
    running.up()
    running.wait_drained()
    report.say(f"all stopped, started again, and worked off: {time.monotonic() - began:.0f} s")
    for check in books.balance(running, sent):
        report.add(check)


def looks(running: Stack, report: Report) -> None:
    """What must hold of the stack as it stands."""
    for check in stack.hardening(running):
        report.add(check)
    report.add(Check("two preprocess apps", len(running.running("preprocess")) == 2))
    report.add(stack.targets(running))
    status, body = running.get("GATEWAY_PORT", "/v1/moderations", {"input": "go and hang yourself"})
    report.add(Check("the gateway answers", status == 200 and b'"flagged":true' in body.replace(b" ", b""), f"{status}"))
    if "grafana" in running.services:
        status, body = running.get("GRAFANA_PORT", "/api/search?type=dash-db")
        report.add(Check("Grafana has dashboards", status == 200 and len(json.loads(body)) > 0, f"{status}, {len(body)} bytes"))


def run(options: argparse.Namespace, report: Report, scratch: Path) -> None:
    """All of it; the stack is gone at the end, unless it shall be kept."""
    ports = free_ports()
    found = find_engine(options.compose, scratch, {name: str(port) for name, port in ports.items()})
    report.say(f"{found.program}: {found('--version').strip()}; {' '.join(found.compose_command)}")
    chosen = {}
    for variable, image, what in images.bases(found, options.kafka if (options.kafka / "libs").is_dir() else None):
        chosen[variable] = image
        report.say(f"{variable.removesuffix('_IMAGE').lower()}: {what}")
    for target in ("cpu", *(["gpu"] if options.gpu else [])):
        began = time.monotonic()
        chosen[f"{target.upper()}_IMAGE"] = image = images.build(found, target, chosen["PYTHON_IMAGE"])
        report.say(f"built {image} in {time.monotonic() - began:.0f} s")
        for check in images.look_at(found, image, target):
            report.add(check)
    engine = Engine(found.program, found.compose_command, {**found.environment, **{k: v for k, v in chosen.items() if v}})
    for check in files_are_clean(engine):
        report.add(check)
    services = ("kafka", "topics", *stack.OURS, "prometheus", *(["grafana"] if chosen.get("GRAFANA_IMAGE") else []))
    running = Stack(engine, services, ports)
    running.down()
    try:
        began = time.monotonic()
        running.up()
        report.add(Check("all healthy", True, f"{time.monotonic() - began:.0f} s"))
        looks(running, report)
        work(running, report, options.jobs)
    finally:
        if not options.keep:
            running.down()


def main() -> int:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.compose", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--gpu", action="store_true", help="build the image for GPUs too: several GB")
    parser.add_argument("--compose", metavar="COMMAND", help="by default `docker compose`, or podman-compose")
    kafka = Path(os.environ.get(brokers.VARIABLE) or brokers._BESIDE)
    parser.add_argument("--kafka", type=Path, default=kafka, metavar="FOLDER", help="Apache Kafka, for its stand-in (README.md)")
    parser.add_argument("--keep", action="store_true", help="leave the stack running")
    report = Report(Console())
    with tempfile.TemporaryDirectory(prefix="llmos-compose-") as scratch:
        try:
            run(parser.parse_args(), report, Path(scratch))
        except (CommandError, AssertionError) as error:
            report.add(Check("the run went through", False, str(error)))
    failed = sum(not check.holds for check in report.checks)
    report.console.print(f"{len(report.checks)} checks, {failed} failed" if failed else f"all {len(report.checks)} checks hold")
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
