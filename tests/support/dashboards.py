"""What dashboards and alerts ask of Prometheus: names, and the labels that they choose and group by."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
DASHBOARDS: Final = tuple(sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")))
ALERTS: Final = DEPLOY / "prometheus" / "alerts.yml"
SCRAPED: Final = frozenset({"job", "instance", "le"})
"""Labels that Prometheus adds, and that of buckets."""
_SELECTOR: Final = re.compile(r"(?<![\w:])((?:llmos|process)_\w+)(?![\w:])(?:\{([^{}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
_VALUES: Final = re.compile(r"label_values\((\w+),\s*(\w+)\)")


@dataclass(frozen=True)
class Selector:
    """A metric in an expression, the labels that it is chosen by, and those of them that must have one certain value."""

    name: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]


def selectors(text: str) -> Iterator[Selector]:
    """Every metric of ours, or of the process, in `text`."""
    for name, chosen in _SELECTOR.findall(text):
        matchers = _MATCHER.findall(chosen)
        values = tuple((label, value) for label, how, value in matchers if how == "=" and "$" not in value)
        yield Selector(name, frozenset(label for label, _, _ in matchers), values)
    yield from (Selector(name, frozenset({label}), ()) for name, label in _VALUES.findall(text))


def grouped(text: str) -> set[str]:
    """Labels that it groups by."""
    return {label.strip() for names in _GROUPING.findall(text) for label in names.split(",") if label.strip()}


def panels(dashboard: Path) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in json.loads(dashboard.read_text("utf-8"))["panels"] if panel["type"] != "row"]


def expressions(dashboard: Path) -> list[str]:
    """All that it asks for: of panels, of variables, of annotations."""
    read = json.loads(dashboard.read_text("utf-8"))
    asked = [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]
    variables = [variable["query"]["query"] for variable in read["templating"]["list"]]
    return [*asked, *variables, *(one["expr"] for one in read["annotations"]["list"] if "expr" in one)]


def asked() -> list[str]:
    """All expressions of all dashboards, and the alerts as one text."""
    return [*(expression for dashboard in DASHBOARDS for expression in expressions(dashboard)), _alerts()]


def _alerts() -> str:
    """Without what is said to people, and without comments."""
    lines = ALERTS.read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.strip().startswith(("summary:", "description:", "#")))
