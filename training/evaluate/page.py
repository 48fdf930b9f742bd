"""The report as one page that needs nothing beside it: figures are in it, and there is no script."""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; } th, td { padding: .15rem .7rem; border-bottom: 1px solid #ddd; }
th { text-align: left; background: #f4f4f4; } td { text-align: right; } td:first-child { text-align: left; }
img { max-width: 48%; } h2 { margin-top: 2.2rem; } summary { cursor: pointer; color: #345; } .bad { color: #a00; }
"""
_QUALITY: Final = ("texts", "positive", "auroc", "auprc", "f1", "accuracy", "calibration_error")
_GROUP: Final = ("texts", "positive", "subgroup_auc", "bpsn_auc", "bnsp_auc", "false_positive_rate")
_SHARES: Final = frozenset({"false_positive_rate", "flagged", "flagged_before", "harmless_flagged", "harmless_flagged_before"})
Rows = Iterable[Sequence[object]]


def page(report: Mapping[str, Any], figures: Iterable[Path]) -> str:
    """The report as HTML, with the PNG files in it."""
    title = escape(f"{report['bundle']} {report['release']}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{''.join(_parts(report, figures))}</html>\n"
    )


def _parts(report: Mapping[str, Any], figures: Iterable[Path]) -> Iterator[str]:
    yield (
        f"<p>{report['texts']:,} texts, none of them trained or calibrated on, scored as a worker scores them. "
        f"Flagged means that the policy <i>{escape(report['policy'])}</i> says review or block: {report['flagged']:.1%} of them. "
        "F1 and accuracy are at a score of 0.5.</p>"
    )
    if report["headlines"]:
        yield _section("Headlines", _table(("figure", "value"), report["headlines"].items()))
    images = "".join(f'<img alt="{file.stem}" src="data:image/png;base64,{_encoded(file)}">' for file in figures)
    yield _section("Labels", _figures("label", report["labels"], _QUALITY) + images)
    shares = [(name, f"{share:.1%}") for name, share in report["harmless_flagged"].items()]
    yield _section("Harmless texts that are flagged", _table(("set", "flagged"), shares))
    yield _section("Languages", _nested(report["languages"], open_=True))
    yield _section("Groups of people", _groups(report))
    if report["contrast"]:
        head = ("sentences", "right", "pairs", "pairs_right")
        yield _section("Pairs parted by a small change", _figures("phenomenon", report["contrast"], head))
    yield _section("Disguises", "".join(_robustness(report["robustness"])))
    yield _section("Data sets", _nested(report["data_sets"], open_=False))


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()


def _nested(parts: Mapping[str, Any], *, open_: bool) -> str:
    state = " open" if open_ else ""
    return "".join(
        f"<details{state}><summary>{escape(name)}</summary>{_figures('label', figures, _QUALITY)}</details>"
        for name, figures in parts.items()
    )


def _groups(report: Mapping[str, Any]) -> str:
    content = "<p>Areas under the ROC curve after Borkan et al. (2019); the rate is of harmless texts that are flagged.</p>"
    for name, figures in report["groups"].items():
        worst = report["worst_group"].get(name)
        said = f": highest rate {escape(worst[0])}, {worst[1]} times the mean" if worst else ""
        content += f"<details><summary>{escape(name)}{said}</summary>{_figures('group', figures, _GROUP)}</details>"
    return content if report["groups"] else "<p>No group is named by enough texts.</p>"


def _robustness(parts: Mapping[str, Any]) -> Iterator[str]:
    for language, figures in parts.items():
        disguises = {name: of for name, of in figures.items() if name != "texts"}
        head = tuple(next(iter(disguises.values())))
        yield f"<h3>{escape(language)}, {figures['texts']:,} texts</h3>{_figures('disguise', disguises, head)}"


def _figures(what: str, rows: Mapping[str, Mapping[str, Any]], head: Sequence[str]) -> str:
    cells = ((name, *(_cell(column, of.get(column)) for column in head)) for name, of in rows.items())
    return _table((what, *(column.replace("_", " ") for column in head)), cells)


def _cell(column: str, value: float | None) -> str:
    if value is None:
        return "–"
    if column in _SHARES:
        return f"{value:.1%}"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _table(head: Sequence[str], rows: Rows) -> str:
    titles = "".join(f"<th>{escape(str(cell))}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{lines}</table>"
