"""Put a bundle into service as `models/current`, unless it is worse than the one that is there.

    python -m training.promote --candidate models/tickets-2 --prepared runs/tickets
    python -m training.promote --candidate models/tickets-2 --prepared runs/tickets --because "the old one flagged too much"
    python -m training.rollback --models models

Both bundles score the test texts of the prepared data, which no training has seen, under the policy of the one in service. Where
more changes than the limits allow, nothing is switched, the reasons are printed and the exit code is 1; --because switches all
the same and writes down why. What was found stands in `models/promotions.jsonl`. Workers and preprocess apps that serve `current`
(`LLMOS_WORKER_MODEL=current`, `model = "current"` in the routes) take it up when they are started again.
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from pipeline.bundles import open_bundle, verify_bundle
from pipeline.decide import decide, highest
from schemas.errors import BundleError, ConfigurationError
from schemas.policies import Policy
from training.command import parser, run
from training.data_card import load_card
from training.evaluate.__main__ import policy_of
from training.evaluate.headlines import PROBE_EVERY, rows_to_test
from training.evaluate.measure import Measured
from training.prepare import load_table
from training.promote.compare import Limits, compare
from training.promote.switch import current, switch
from training.served import Served
from training.table import Table

REFUSED = 1
LIMITS = Limits()


def promote(candidate: Path, prepared: Path, limits: Limits = LIMITS, because: str | None = None) -> list[str]:
    """Switch, or return the reasons why not. Raises BundleError for a candidate that is damaged or fails a canary."""
    models = candidate.parent
    served = Served(candidate)
    verify_bundle(served.bundle)
    _canaries(served, policy_of(candidate))
    before = current(models)
    if before is None:
        switch(models, candidate.name, "promote", found="nothing was in service to compare with", because=because)
        return []
    if before.manifest == served.bundle.manifest:
        raise ConfigurationError(f"{candidate} is in service already")
    found, reasons = _compared(Served(before.folder), served, prepared, limits)
    if reasons and because is None:
        return reasons
    switch(models, candidate.name, "promote", found=found, reasons_against=reasons, because=because)
    return []


def _canaries(served: Served, policy: Policy) -> None:
    labels = served.bundle.manifest.labels
    for canary in served.bundle.manifest.canaries:
        if canary.label:
            got: str = highest(served.raw_scores([canary.text])[0], labels)
        else:
            score = served.scores([canary.text])[0]
            got = decide(score, score, labels, policy, "und")[0]
        if got != (expected := canary.label or canary.verdict):
            raise BundleError(f"canary {canary.text!r} got {got}, expected {expected}")


def _compared(before: Served, after: Served, prepared: Path, limits: Limits) -> tuple[dict[str, Any], list[str]]:
    old, new = (tuple(label.name for label in one.bundle.manifest.labels) for one in (before, after))
    table = rows_to_test(load_table(prepared), PROBE_EVERY)
    if not old == new == table.names:
        return {}, [f"the labels differ: {', '.join(new)} for {', '.join(old)}, and the data has {', '.join(table.names)}"]
    if not table.texts:
        raise ConfigurationError(f"{prepared}: no test texts")
    harmless = load_card(prepared).harmless
    policy = policy_of(before.bundle.folder)
    return compare(_measured(before, table, policy, harmless), _measured(after, table, policy, harmless), limits)


def _measured(served: Served, table: Table, policy: Policy, harmless: frozenset[str]) -> Measured:
    return Measured(table, served.scores(table.texts), served.bundle.manifest, policy, harmless)


def _arguments() -> ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--candidate", type=Path, required=True, help="folder of the bundle, beside the others")
    arguments.add_argument("--prepared", type=Path, required=True, help="folder that training.prepare wrote: its test texts")
    arguments.add_argument("--because", help="switch although it is worse, for this reason")
    for name, value in LIMITS._asdict().items():
        arguments.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, help=f"limit, by default {value}")
    return arguments


def main() -> int:
    """Promote, or say why not."""
    given = _arguments().parse_args()
    limits = Limits(**{name: getattr(given, name) for name in Limits._fields})
    reasons = promote(given.candidate, given.prepared, limits, given.because)
    if reasons:
        print(f"{given.candidate.name} is not put into service:", *reasons, sep="\n  ", file=sys.stderr)
        return REFUSED
    link = given.candidate.parent / "current"
    print(json.dumps({"current": open_bundle(link).manifest.name, "release": open_bundle(link).manifest.release}))
    return 0


if __name__ == "__main__":
    run(main)
