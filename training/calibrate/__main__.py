"""Give a bundle's scores a meaning that lasts: of texts with a calibrated score of 0.8, about 8 in 10 carry the label.

    python -m training.calibrate --bundle models/moderation-en-zh --prepared runs/data
    python -m training.calibrate --bundle models/tickets --prepared runs/tickets --review-precision 0.5 --block-precision 0.9
    python -m training.calibrate … --review-budget 0.02 --traffic yesterday.txt     # at most 2 % of texts for people to look at

Fits a map a label on the validation texts, scored as a worker scores them, and writes it into the manifest. Where thresholds
are asked for, it also writes `policy.toml` into the bundle, and takes canaries of that policy from the validation texts.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from pipeline.decide import decide
from schemas.bundles import Calibration, Canary
from schemas.codes import Verdict
from schemas.errors import BundleError, ConfigurationError
from schemas.policies import Policy
from training.calibrate.maps import Method, fit
from training.calibrate.policy import Wanted, policy_for, write_policy
from training.command import parser, run
from training.data_card import DataCard, load_card
from training.export.canaries import canaries_of
from training.prepare import load_table
from training.served import Served, rewrite_manifest
from training.table import Table


def calibrate_bundle(folder: Path, table: Table, method: Method = "platt") -> None:
    """Rewrite the manifest in `folder` with maps fitted on `table`."""
    served = Served(folder)
    raw = served.raw_scores(table.texts)
    labels = served.bundle.manifest.labels
    fitted = tuple(
        label.model_copy(update={"calibration": fit(raw[:, i], table.column(label.name), method)})
        for i, label in enumerate(labels)
    )
    rewrite_manifest(folder, labels=fitted)


def add_policy(folder: Path, table: Table, card: DataCard, wanted: Wanted, traffic: list[str] | None = None) -> Policy:
    """Write thresholds for what is wanted into the bundle, and canaries that fit them; raises BundleError where none do."""
    if card.asks_for_nothing:
        raise BundleError("every label is marked harmless: there is no threshold to seek, and no policy to write")
    served = Served(folder)
    scores = served.scores(table.texts)
    policy = policy_for(table, scores, card.harmless, wanted, served.scores(traffic) if traffic else None)
    verdict_of = {canary.text: _verdict(served, policy, canary.text) for canary in canaries_of(card, table, scores)}
    verdicts = set(verdict_of.values())
    if Verdict.ALLOW not in verdicts or verdicts == {Verdict.ALLOW}:
        raise BundleError(
            f"with these thresholds every canary means {' or '.join(sorted(verdicts))}: {len(table.texts)} validation texts may "
            f"be too few, the wanted precision too high, or the model too weak; thresholds: {policy.labels}"
        )
    canaries = tuple(Canary(text=text, verdict=verdict) for text, verdict in verdict_of.items())
    write_policy(folder, policy, rewrite_manifest(folder, canaries=canaries), wanted._asdict())
    return policy


def _verdict(served: Served, policy: Policy, text: str) -> Verdict:
    score = served.scores([text])[0]
    return decide(score, score, served.bundle.manifest.labels, policy, "und")[0]


def _arguments() -> ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    arguments.add_argument("--prepared", type=Path, required=True, help="folder that training.prepare wrote")
    arguments.add_argument("--method", choices=("platt", "isotonic"), default="platt", help="the form of the maps")
    arguments.add_argument("--review-precision", type=float, help="share of texts for review that shall carry the label")
    arguments.add_argument("--block-precision", type=float, help="the same of texts that are blocked")
    arguments.add_argument("--review-budget", type=float, help="share of texts that may be flagged, at most")
    arguments.add_argument("--traffic", type=Path, help="file of texts as they come in, one a line, to keep the budget on")
    return arguments


def _wanted(given: Namespace) -> Wanted | None:
    said = {name: getattr(given, name) for name in Wanted._fields if getattr(given, name) is not None}
    return Wanted(**said) if said else None


def main() -> None:
    """Calibrate, and find thresholds where they are asked for."""
    given = _arguments().parse_args()
    table = load_table(given.prepared).where(split="validation")
    if not table.texts:
        raise ConfigurationError(f"{given.prepared}: no validation texts")
    calibrate_bundle(given.bundle, table, given.method)
    few = [label.name for label in Served(given.bundle).bundle.manifest.labels if label.calibration == Calibration()]
    print(f"calibrated on {len(table.texts):,} validation texts" + (f"; too few of {', '.join(few)}" if few else ""))
    wanted = _wanted(given)
    if wanted:
        traffic = given.traffic.read_text("utf-8").splitlines() if given.traffic else None
        policy = add_policy(given.bundle, table, load_card(given.prepared), wanted, traffic)
        for name, threshold in policy.labels.items():
            print(f"{name}: review from {threshold.review}, block from {threshold.block}")


if __name__ == "__main__":
    run(main)
