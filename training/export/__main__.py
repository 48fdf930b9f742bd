"""From the model of a finished run to a bundle that workers serve.

    python -m training.export --state runs/tickets-model --prepared runs/tickets --bundle models/tickets --release 1.0.0
    python -m training.export … --precision int8 --precision fp16 --scales token

Each graph is checked against PyTorch on real texts, and for scores that move with their batch. Where one is beyond the limits
(`training/export/parity.py`), no bundle is written, and the exit code is 4. `training.calibrate` and `training.evaluate`
complete the bundle.
"""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.bundles import open_bundle
from schemas.errors import ConfigurationError
from training.card import model_card
from training.command import parser, run
from training.data_card import load_card
from training.export.bundle import Exporter, Figures, refuse_unservable
from training.export.fixed import write_fixed
from training.export.parity import LIMITS, Precision
from training.export.spans import Scales
from training.made import load_made, load_model
from training.model import TOKENIZER
from training.prepare import load_table


def export(
    state: Path,
    prepared: Path,
    bundle: Path,
    release: str,
    *,
    precisions: Sequence[Precision] = ("int8",),
    scales: Scales = "mixed",
    others: Sequence[Path] = (),
    watts: float | None = None,
) -> Figures:
    """Write the folder `bundle`, in place of what is there; returns what was found of each graph. Raises BundleError.

    `others` are runs that led to this one, such as a teacher's; they and their energy are told in the card.
    """
    model, made = load_model(state)
    refuse_unservable(model, made)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / bundle.name
        folder.mkdir()
        exporter = Exporter(model, made, load_card(prepared), load_table(prepared), folder=folder, release=release)
        figures = exporter.write(state / TOKENIZER, precisions, scales, [told(run, watts) for run in (*others, state)])
        (folder / "README.md").write_text(model_card(open_bundle(folder).manifest), "utf-8")
        shutil.rmtree(bundle, ignore_errors=True)
        shutil.copytree(folder, bundle)
    return figures


def told(state: Path, watts: float | None) -> dict[str, Any]:
    """What a card says of a run; raises ConfigurationError where it is not finished."""
    made = load_made(state)
    if made is None:
        raise ConfigurationError(f"{state}: no finished run there")
    energy = "not measured" if watts is None else f"{watts * made.seconds / 3.6e6:.2f} kWh, if the machine draws {watts:g} W"
    whole = made.model_dump(include={"rows", "steps", "seconds", "machine", "figures"})
    return {"name": state.name, **whole, "energy": energy}


def main() -> None:
    """Export, and print what was found."""
    arguments = parser(__doc__)
    arguments.add_argument("--state", type=Path, required=True, help="folder of the finished run")
    arguments.add_argument("--prepared", type=Path, required=True, help="folder that training.prepare wrote")
    arguments.add_argument("--bundle", type=Path, required=True, help="folder to write; its name is the model's")
    arguments.add_argument("--release", required=True, help="version of the model, such as 1.0.0")
    arguments.add_argument(
        "--precision", action="append", choices=tuple(LIMITS), help="a graph to write, repeatable; by default int8, for CPUs"
    )
    arguments.add_argument(
        "--scales", choices=("mixed", "fixed", "token"), default="mixed", help="of int8: fixed, a token's own, or mixed (default)"
    )
    arguments.add_argument("--fixed-rows", type=int, default=0, help="also write graphs of so many rows and of each length")
    arguments.add_argument("--with-run", type=Path, action="append", default=[], help="a run that led to this one, for the card")
    arguments.add_argument("--watts", type=float, help="power that the machine draws in training, for the card")
    given = arguments.parse_args()
    precisions = tuple(dict.fromkeys(given.precision or ["int8"]))
    figures = export(
        given.state,
        given.prepared,
        given.bundle,
        given.release,
        precisions=precisions,
        scales=given.scales,
        others=given.with_run,
        watts=given.watts,
    )
    for graph in sorted(given.bundle.glob("*.onnx")) if given.fixed_rows else ():
        write_fixed(graph, given.fixed_rows, open_bundle(given.bundle).manifest.windows.tokens_max)
    print(json.dumps({"bundle": str(given.bundle), "parity": figures}, indent=2))


if __name__ == "__main__":
    run(main)
