"""The policy that goes with a bundle: `policy.toml` in its folder.

Put it into a policies folder as `default.toml`, or, with that name in it, under a tenant's.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from schemas.bundles import BundleManifest
from schemas.policies import Policy, Threshold
from training.calibrate.thresholds import DIGITS, for_budget, for_precision
from training.table import Table
from workers.fold import Floats

POLICY: Final = "policy.toml"
NAME: Final = "default"
HOPELESS: Final = 0.5
"""A text whose own chance is below this share of the wanted precision is never flagged."""
REVIEW, BLOCK = 0.5, 0.9
"""Where the validation texts are too few to find a threshold: as many chances as not, and nine in ten."""


class Wanted(NamedTuple):
    """What thresholds are sought for; a share of texts for review counts before a precision."""

    review_precision: float = 0.5
    block_precision: float = 0.9
    review_budget: float | None = None


def policy_for(table: Table, scores: Floats, harmless: frozenset[str], wanted: Wanted, traffic: Floats | None = None) -> Policy:
    """Thresholds for every label that is not harmless, from validation texts with calibrated `scores` [texts, labels].

    The budget is kept on `traffic`, scores of texts as they come in, where there is some.
    """
    columns = [i for i, name in enumerate(table.names) if name not in harmless]
    common = None
    if wanted.review_budget is not None:
        common = for_budget((scores if traffic is None else traffic)[:, columns], wanted.review_budget)
    labels = {table.names[i]: _threshold(table.column(table.names[i]), scores[:, i], wanted, common) for i in columns}
    return Policy(name=NAME, release="1", labels=labels)


def _threshold(truth: Floats, score: Floats, wanted: Wanted, common: float | None) -> Threshold:
    block = _from(truth, score, wanted.block_precision, BLOCK)
    if common is not None:
        return Threshold(review=common, block=max(block, common))
    return Threshold(review=min(_from(truth, score, wanted.review_precision, REVIEW), block), block=block)


def _from(truth: Floats, score: Floats, precision: float, otherwise: float) -> float:
    """Where many texts carry the label, all texts together may be precise enough; a hopeless one is not flagged all the same."""
    found = for_precision(truth, score, precision)
    return otherwise if found is None else max(found, round(HOPELESS * precision, DIGITS))


def write_policy(bundle: Path, policy: Policy, manifest: BundleManifest, wanted: Mapping[str, object]) -> None:
    """Write it as TOML."""
    sought = ", ".join(f"{name} {value}" for name, value in wanted.items() if value is not None)
    lines = [
        f"# Thresholds of {manifest.name} {manifest.release}, found on its validation texts by training.calibrate ({sought}).",
        "# review: a person should look; block: sure enough to act on. Leave one out and it never happens.",
        f'name = "{policy.name}"',
        f'release = "{policy.release}"',
        "",
        "[labels]",
        *(f"{name} = {{ review = {of.review}, block = {of.block} }}" for name, of in policy.labels.items()),
    ]
    (bundle / POLICY).write_text("\n".join(lines) + "\n", "utf-8")
