"""Measure a bundle on texts that it was not trained on, as a worker scores them.

    python -m training.evaluate --bundle models/moderation-en-zh --data ../shared/data
    python -m training.evaluate --bundle models/tickets --prepared runs/tickets --write

Writes `report.json`, `report.html` (one page, nothing beside it) and figures. With --write, the figures also go into the bundle's
manifest and its model card. `flagged` means that the policy says review or block: the bundle's own `policy.toml` where it has
one, else the default policy.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.policies import load_policies, read_policy
from pipeline.settings import Settings
from schemas.errors import ConfigurationError
from schemas.policies import Policy
from training.calibrate.policy import POLICY
from training.card import model_card
from training.command import parser, run
from training.data_card import load_card
from training.evaluate.diagrams import draw
from training.evaluate.headlines import PROBE_EVERY, rows_to_test
from training.evaluate.measure import ROBUST_ROWS, Measured, Report, measure
from training.evaluate.page import page
from training.prepare import load_table, prepare
from training.served import Served, rewrite_manifest
from training.sources import MODERATION
from training.table import Table

IN_BUNDLE = (
    "texts",
    "policy",
    "headlines",
    "labels",
    "languages",
    "harmless_flagged",
    "groups",
    "worst_group",
    "contrast",
    "robustness",
)
"""What of the report the bundle's manifest keeps."""


def evaluate(
    served: Served, table: Table, output: Path, *, harmless: frozenset[str] = frozenset(), robust_rows: int = ROBUST_ROWS
) -> Report:
    """Measure over `table` and write the report to the folder `output`; raises ConfigurationError where labels do not fit."""
    manifest = served.bundle.manifest
    names = tuple(label.name for label in manifest.labels)
    if table.names != names:
        raise ConfigurationError(f"the data has labels {', '.join(table.names)}, and the bundle {', '.join(names)}")
    if not table.texts:
        raise ConfigurationError("the data has no test texts")
    scores = served.scores(table.texts)
    measured = Measured(table, scores, manifest, policy_of(served.bundle.folder), harmless)
    report = measure(measured, served.scores, robust_rows) | {"precision": served.session.file.precision}
    output.mkdir(parents=True, exist_ok=True)
    (output / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
    (output / "report.html").write_text(page(report, draw(output, table, scores)), "utf-8")
    return report


def policy_of(bundle: Path) -> Policy:
    """The policy that goes with the bundle, or the default one of this machine."""
    if (bundle / POLICY).exists():
        return read_policy(bundle / POLICY).policy
    return load_policies(Settings().policies_dir)["default"].policy


def write_figures(bundle: Path, report: Report) -> None:
    """Put the figures into the bundle's manifest and its card."""
    before: dict[str, Any] = Served(bundle).bundle.manifest.metrics
    manifest = rewrite_manifest(bundle, metrics=before | {name: report[name] for name in IN_BUNDLE})
    (bundle / "README.md").write_text(model_card(manifest), "utf-8")


def differences(manifest_metrics: Mapping[str, Any], report: Report) -> Iterator[str]:
    """Where the headlines and shares are other than the bundle says."""
    for part in ("headlines", "harmless_flagged"):
        said: Mapping[str, float] = manifest_metrics.get(part, {})
        for name, value in report[part].items():
            if name in said and said[name] != value:
                yield f"{name}: {value}, and the card says {said[name]}"


def _table_of(prepared: Path | None, data: Path | None) -> tuple[Table, frozenset[str]]:
    if prepared:
        return load_table(prepared), load_card(prepared).harmless
    if data:
        return prepare(MODERATION, data), frozenset()
    raise ConfigurationError("name --data FOLDER or --prepared FOLDER")


def main() -> None:
    """Measure, write, and print the headlines."""
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", type=Path, required=True, help="folder of the bundle")
    arguments.add_argument("--data", type=Path, help="folder of the built-in data sets; prepared anew, which takes a minute")
    arguments.add_argument("--prepared", type=Path, help="folder that training.prepare wrote")
    arguments.add_argument("--output", type=Path, help="folder of the report; by default runs/evaluation/NAME")
    arguments.add_argument("--precision", choices=("auto", "fp32", "fp16", "int8"), default="auto", help="the graph to measure")
    arguments.add_argument("--probe-every", type=int, default=PROBE_EVERY, help="of the templated probes, every so manieth row")
    arguments.add_argument("--robust-rows", type=int, default=ROBUST_ROWS, help="texts a language to disguise; 0: none")
    arguments.add_argument("--write", action="store_true", help="put the figures into the bundle and its card")
    given = arguments.parse_args()
    output = given.output or Path("runs/evaluation") / given.bundle.name
    table, harmless = _table_of(given.prepared, given.data)
    served = Served(given.bundle, given.precision)
    report = evaluate(served, rows_to_test(table, given.probe_every), output, harmless=harmless, robust_rows=given.robust_rows)
    shown = {name: report[name] for name in ("headlines", "harmless_flagged", "worst_group")}
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    for line in differences(served.bundle.manifest.metrics, report):
        print(f"differs: {line}")
    if given.write:
        write_figures(given.bundle, report)
    print(f"written to {output / 'report.html'}")


if __name__ == "__main__":
    run(main)
