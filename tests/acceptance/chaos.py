"""Chaos: traffic, seeded faults, and then the books must balance. `python -m tests.acceptance.chaos --help`

Starts brokers, preprocess apps and workers of its own, publishes jobs at a steady rate, kills, stops, cuts off, adds and removes
what it started, lets everything recover, and compares what was accepted with what came of it. Exit code 0 only if all holds.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from pipeline.kafka import BROKER_FILE
from pipeline.read import Reader
from pipeline.settings import Settings
from pipeline.topics import Lag, create_topics
from schemas.errors import LLMOSError
from tests.acceptance.cluster import BROKERS, Brokers, in_sync, nodes_of, running_brokers
from tests.acceptance.crew import Crew
from tests.acceptance.faults import KINDS, SESSION_S, Fault, make_plan
from tests.acceptance.injector import Injector
from tests.acceptance.ledger import Ledger
from tests.acceptance.report import Run, as_json, show
from tests.acceptance.traffic import Publisher
from tests.acceptance.whereabouts import whereabouts
from tests.support.ledger import lags
from tests.support.processes import Installation
from tests.support.toy import make_toy_models

READY_S: Final = 120
"""From the start, or from the last fault, until all processes are ready."""
DRAIN_S: Final = 180
"""From then until every job has an outcome and no group a lag."""
FAULTS_END_S: Final = 120
"""How much later than planned the last fault may be over."""
LOOKED_FOR_MAX: Final = 20
"""Jobs without an outcome that are looked for in all topics."""
_TICK_S: Final = 0.05
NOT_EMBEDDED: Final = ("broker", "poison")
"""Faults that the embedded broker cannot have, for it keeps no log, or not so often: each of the five deaths of a poisonous text
costs its worker half a session before it is back in its group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """As the command line gives them."""

    seed: int
    minutes: float
    rate: float
    workers: int
    preprocess: int
    broker: str
    faults: Sequence[str]

    @property
    def processes(self) -> list[str]:
        """Names of the processes that are there from the beginning."""
        counts = (("preprocess", self.preprocess), ("worker", self.workers))
        return [f"{stage}-{number}" for stage, count in counts for number in range(1, count + 1)]

    def plan(self) -> list[Fault]:
        """What will happen."""
        return make_plan(
            seed=self.seed,
            seconds=self.minutes * 60,
            kinds=self.faults,
            processes=self.processes,
            nodes=nodes_of(self.broker),
        )


def possible_faults(broker: str) -> list[str]:
    """The kinds of faults that such a broker can have."""
    return [name for name in KINDS if broker != "embedded" or name not in NOT_EMBEDDED]


def run_chaos(options: Options, folder: Path, console: Console) -> Run:
    """The whole run; logs and broker data go to `folder`. Raises LLMOSError where it cannot even begin."""
    plan = options.plan()
    console.print(f"seed {options.seed}, {len(plan)} faults:", *map(str, plan), sep="\n  ")
    with ExitStack() as stack:
        brokers = stack.enter_context(running_brokers(options.broker, folder))
        place = Installation(_environment(brokers, folder), folder)
        _remember(brokers, place.settings.state_dir)
        direct = place.settings.model_copy(update={"kafka_bootstrap": brokers.direct})
        create_topics(direct)
        crew = stack.enter_context(Crew(place.environment, folder))
        for name in options.processes:
            crew.add(name)
        _wait_until_ready(crew)
        ledger = Ledger()
        injector, traffic_s = _strike(options, plan, crew, brokers, direct, ledger, stack)
        run = _settle(options, plan, crew, injector, direct, ledger, traffic_s)
        for job_id, records in whereabouts(direct, sorted(ledger.missing)[:LOOKED_FOR_MAX]).items():
            console.print(f"{job_id} has no outcome and was in", *(records or ["no topic"]), sep="\n  ")
        return run


def _environment(brokers: Brokers, folder: Path) -> dict[str, str]:
    return {
        **make_toy_models(folder),
        "LLMOS_KAFKA_BOOTSTRAP": brokers.proxied,
        "LLMOS_KAFKA_SESSION_TIMEOUT_MS": str(SESSION_S * 1000),
        "LLMOS_TOPIC_PREFIX": "chaos",
        "LLMOS_TOPIC_REPLICATION": str(brokers.nodes),
        "LLMOS_WORKER_PROVIDER": "cpu",
        "LLMOS_WORKER_THREADS": "1",
    }


def _remember(brokers: Brokers, state_dir: Path) -> None:
    """As `llmos up` does: the processes are to know what they can expect of their broker."""
    state_dir.mkdir(parents=True, exist_ok=True)
    (state_dir / BROKER_FILE).write_text(json.dumps({"bootstrap": brokers.proxied, "embedded": brokers.embedded}))


def _wait_until_ready(crew: Crew) -> bool:
    deadline = time.monotonic() + READY_S
    while not crew.ready and time.monotonic() < deadline:
        list(crew.watch())
        time.sleep(_TICK_S)
    return crew.ready


def _strike(
    options: Options, plan: list[Fault], crew: Crew, brokers: Brokers, direct: Settings, ledger: Ledger, stack: ExitStack
) -> tuple[Injector, float]:
    """Traffic and faults until both are over."""
    publisher = stack.enter_context(
        Publisher(direct, ledger, seed=options.seed, rate=options.rate, poison="poison" in options.faults)
    )
    injector = Injector(plan, crew, brokers, lambda: in_sync(direct))
    stack.callback(injector.close)
    seconds = options.minutes * 60
    while injector.seconds < seconds or (not injector.finished and injector.seconds < seconds + FAULTS_END_S):
        injector.tick()
        time.sleep(_TICK_S)
    publisher.stop()
    return injector, publisher.seconds


def _settle(
    options: Options, plan: list[Fault], crew: Crew, injector: Injector, direct: Settings, ledger: Ledger, traffic_s: float
) -> Run:
    """No more faults: wait for the outcomes and for the groups, stop all, read what came last, and tell."""
    began = time.monotonic()
    topics = [direct.results_topic, direct.dead_letters_topic, direct.flagged_topic]
    with Reader(direct, topics) as reader:
        reader.seek_start()
        found: list[Lag] = []
        while time.monotonic() - began < DRAIN_S and (ledger.missing or not found or any(lag.behind for lag in found)):
            injector.tick()
            _read(reader, direct, ledger)
            found = [] if ledger.missing else lags(direct)
        found = found or lags(direct)
        drain_s = time.monotonic() - began
        ready = _wait_until_ready(crew)
        stopped = crew.stop()
        for record in reader.records(follow=False):
            _take(record, direct, ledger)
    return Run(
        options={**{name: getattr(options, name) for name in Options.__slots__}},
        plan=plan,
        ledger=ledger,
        traffic_s=traffic_s,
        drain_s=drain_s,
        happened=injector.happened,
        lags=found,
        stopped=stopped,
        hung=crew.hung,
        all_ready=ready,
        members=list(crew.members.values()),
    )


def _read(reader: Reader, settings: Settings, ledger: Ledger) -> None:
    for record in reader.poll():
        _take(record, settings, ledger)


def _take(record: object, settings: Settings, ledger: Ledger) -> None:
    topic, value, at_s = record.topic, record.value, record.timestamp / 1000  # type: ignore[attr-defined]
    if topic == settings.results_topic:
        ledger.take_result(value, at_s)
    elif topic == settings.dead_letters_topic:
        ledger.take_dead_letter(value, at_s)
    else:
        ledger.take_flagged(value)


def parse(arguments: Sequence[str]) -> tuple[Options, argparse.Namespace]:
    """The options; exits with 2 for what cannot be."""
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance.chaos", description=__doc__, epilog=_epilog())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=1, help="of the plan and the traffic (default 1)")
    parser.add_argument("--minutes", type=float, default=10, help="of traffic and faults (default 10)")
    parser.add_argument("--rate", type=float, default=150, help="jobs a second (default 150)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--preprocess", type=int, default=2)
    parser.add_argument("--broker", choices=BROKERS, default="apache", help="one node, three, or the embedded one")
    parser.add_argument("--faults", metavar="KIND[,KIND…]", help="only these (default: all that the broker can have)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep logs and broker data there, in an empty folder")
    given = parser.parse_args(arguments)
    possible = possible_faults(given.broker)
    kinds = given.faults.split(",") if given.faults else possible
    if unknown := set(kinds) - set(possible):
        parser.error(f"no such faults with this broker: {', '.join(sorted(unknown))}; there are: {', '.join(possible)}")
    names = ("seed", "minutes", "rate", "workers", "preprocess", "broker")
    return Options(**{name: getattr(given, name) for name in names}, faults=kinds), given


def _epilog() -> str:
    return "faults:\n" + "\n".join(f"  {name:<8} {kind.told}" for name, kind in KINDS.items())


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is None:
        with tempfile.TemporaryDirectory(prefix="llmos-chaos-", ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    kept.mkdir(parents=True, exist_ok=True)
    yield kept.resolve()


def _forget(names: Collection[str]) -> None:
    for name in [name for name in names if name.startswith("LLMOS_") and name != "LLMOS_TEST_KAFKA"]:
        del os.environ[name]


def main(arguments: Sequence[str]) -> int:
    """0 if all holds, 1 if not, 3 if it could not begin."""
    options, given = parse(arguments)
    console = Console(width=130, highlight=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _forget(list(os.environ))
    try:
        with _folder(given.keep) as folder:
            run = run_chaos(options, folder, console)
    except LLMOSError as error:
        console.print(f"chaos: {error}")
        return 3
    show(run, console)
    report = as_json(run)
    if given.report:
        given.report.write_text(json.dumps(report, indent=2))
    console.print("all holds" if report["holds"] else "IT DOES NOT HOLD")
    return 0 if report["holds"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
