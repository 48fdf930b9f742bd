"""Draws a run's log: loss, learning rate, and what validation found, as PNG in the run's folder.

python -m training.fit.curves --state runs/model           # draw again, also while the run is under way
python -m training.fit.curves --schedules schedules.png    # all learning-rate schedules in one figure
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from training.command import parser, run
from training.fit.journal import entries
from training.fit.schedules import FALLS, schedule

SIZE: Final = (7, 4)
_MARKED_MAX: Final = 12
"""So few points are marked: a line of one point would not be seen."""
_NOT_CURVES: Final = frozenset({"step", "loss", "learning_rate", "seconds", "rows_per_second", "validation_loss"})
Points = Sequence[tuple[float, float]]


def draw(folder: Path) -> list[Path]:
    """Draw `loss.png`, `learning-rate.png` and, where the run was validated, `validation.png`; returns them."""
    log = [entry for entry in entries(folder) if "step" in entry]
    names = sorted({name for entry in log for name in entry} - _NOT_CURVES)
    wanted = {
        "loss": {"training": _points(log, "loss"), "validation": _points(log, "validation_loss")},
        "learning rate": {"": _points(log, "learning_rate")},
        "validation": {name: _points(log, name) for name in names},
    }
    return [
        plot(folder / f"{title.replace(' ', '-')}.png", title, lines) for title, lines in wanted.items() if any(lines.values())
    ]


def _points(log: Sequence[dict[str, Any]], name: str) -> Points:
    return [(entry["step"], entry[name]) for entry in log if entry.get(name) is not None]


def plot(file: Path, title: str, lines: dict[str, Points], x: str = "step", y: str = "") -> Path:
    """Lines by name, those without points left out."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    for name, points in lines.items():
        if points:
            axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) <= _MARKED_MAX else "")
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    if any(lines):
        axes.legend()
    figure.savefig(file, dpi=100)
    return file


def draw_schedules(file: Path, steps: int = 200, warmup: float = 0.1, cycles: int = 3) -> Path:
    """All schedules in one figure."""
    shares = {name: schedule(name, steps, warmup, cycles) for name in FALLS}
    lines: dict[str, Points] = {name: [(step, share(step)) for step in range(steps)] for name, share in shares.items()}
    return plot(file, "schedules", lines, y="share of the peak learning rate")


def main() -> None:
    """Draw, and name the figures."""
    arguments = parser(__doc__)
    arguments.add_argument("--state", type=Path, help="folder of a run")
    arguments.add_argument("--schedules", type=Path, help="PNG file to draw the schedules to")
    given = arguments.parse_args()
    drawn = [*(draw(given.state) if given.state else ()), *([draw_schedules(given.schedules)] if given.schedules else ())]
    print(*drawn, sep="\n")


if __name__ == "__main__":
    run(main)
