"""Every metric is documented as it is, and no dashboard or alert asks for one that is not."""

import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.dashboards import ALERTS, DASHBOARDS, DEPLOY, SCRAPED, Selector, asked, expressions, grouped, panels, selectors
from tests.support.exposition import Described, declared, sample

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
LABELS = {name: metric.labels for metric in declared() for name in (*metric.names, metric.shown)}
OF_PROCESS = {"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes"}
PROMTOOL = shutil.which("promtool")


def documented() -> dict[str, tuple[str, frozenset[str], str]]:
    """Type, labels and meaning by name, as the tables have them."""
    lines = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    assert all(len(row) == 7 for row in rows), "name, type, labels, unit, from, meaning, watch it for"
    found = {
        name.strip("`"): (kind, frozenset(re.findall(r"`(\w+)`", labels)), meaning) for name, kind, labels, *_, meaning, _ in rows
    }
    assert len(found) == len(rows), "no metric stands there twice"
    return found


def test_the_documents_have_every_metric_with_its_type_and_labels_and_no_other() -> None:
    tables = {name: (kind, labels) for name, (kind, labels, _) in documented().items()}
    assert tables == {metric.shown: (metric.kind, metric.labels | extra(metric)) for metric in declared()}


def extra(metric: Described) -> frozenset[str]:
    """What an info metric says, it says in labels."""
    return {"llmos_build": frozenset({"version"}), "llmos_model": frozenset({"release"})}.get(metric.family, frozenset())


def test_every_metric_of_ours_is_called_so_and_means_something() -> None:
    assert all(metric.family.startswith("llmos_") for metric in declared())
    assert all(len(meaning) > 10 for _, _, meaning in documented().values())


def test_a_process_says_what_it_runs() -> None:

    assert sample("llmos_build_info", version=version("llmos")) == 1


def complaints(text: str) -> set[str]:
    """What `text` asks for that does not exist."""
    found = list(selectors(text))
    unknown = {one.name for one in found if one.name not in LABELS and one.name not in OF_PROCESS}
    known = {name: labels | INFO for name, labels in LABELS.items()}
    chosen = {f"{one.name}{{{label}}}" for one in found for label in one.labels - known.get(one.name, frozenset()) - SCRAPED}
    everything = frozenset[str]().union(*(known.get(one.name, frozenset()) for one in found))
    return unknown | chosen | (grouped(text) - everything - SCRAPED)


INFO = frozenset({"version", "release"})
"""Labels of the info metrics."""


@pytest.mark.parametrize("text", asked())
def test_dashboards_and_alerts_ask_for_metrics_and_labels_that_there_are(text: str) -> None:
    assert complaints(text) == set()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sum(rate(llmos_jobs_gone_total[5m]))", {"llmos_jobs_gone_total"}),
        ("llmos_jobs_received", {"llmos_jobs_received"}),
        ('llmos_jobs_done_total{modal=~"$model", verdict="allow"}', {"llmos_jobs_done_total{modal}"}),
        ("sum by (le, lable) (rate(llmos_score_bucket[5m]))", {"lable"}),
        ("label_values(llmos_score_count, word)", {"llmos_score_count{word}"}),
        ("rate(process_cpu_minutes_total[5m])", {"process_cpu_minutes_total"}),
    ],
)
def test_each_mistake_would_be_found(text: str, said: set[str]) -> None:
    assert complaints(text) == said


def test_an_expression_is_taken_apart() -> None:
    text = 'sum by (a, b) (rate(llmos_x_total{c="d", e=~"f|g", h="$i"}[5m])) / on () group_left (j) k:llmos_y:l * process_z'
    assert list(selectors(text)) == [
        Selector("llmos_x_total", frozenset("ceh"), (("c", "d"),)),
        Selector("process_z", frozenset(), ()),
    ]
    assert grouped(text) == {"a", "b", "j"}


def test_every_metric_is_drawn_somewhere() -> None:
    drawn = {one.name for dashboard in DASHBOARDS for text in expressions(dashboard) for one in selectors(text)}
    assert [metric.family for metric in declared() if drawn.isdisjoint(metric.names)] == []


def test_there_are_four_dashboards_and_they_fit_what_is_provisioned() -> None:
    read = [json.loads(file.read_text("utf-8")) for file in DASHBOARDS]
    assert {board["uid"] for board in read} == {f"llmos-{name}" for name in ("latency", "models", "moderation", "traffic")}
    datasource = (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text("utf-8")
    assert "uid: prometheus " in datasource
    shown = [panel for file in DASHBOARDS for panel in panels(file)]
    assert {panel["datasource"]["uid"] for panel in shown} == {"prometheus"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.stem)
def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard: Path) -> None:
    board = json.loads(dashboard.read_text("utf-8"))
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels(dashboard):
        assert panel["title"]
        assert panel["description"]
        assert panel["type"] in {"table", "heatmap"} or panel["fieldConfig"]["defaults"]["unit"]
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGH")[: len(panel["targets"])]


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.stem)
def test_no_panel_lies_upon_another(dashboard: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(dashboard.read_text("utf-8"))["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda file: file.stem)
def test_every_variable_that_is_used_is_there_and_the_other_way_round(dashboard: Path) -> None:
    board = json.loads(dashboard.read_text("utf-8"))
    used = set(re.findall(r"\$(\w+)", " ".join(expressions(dashboard)))) - {"__rate_interval"}
    assert used == {variable["name"] for variable in board["templating"]["list"]}


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize("arguments", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")])
def test_prometheus_takes_its_files_and_each_alert_goes_off_in_its_trouble(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([str(PROMTOOL), *arguments], cwd=ALERTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_prometheus_understands_every_expression_of_the_dashboards(tmp_path: Path) -> None:
    texts = [text for dashboard in DASHBOARDS for text in expressions(dashboard) if not text.startswith("label_values")]
    rules = [
        {"record": f"expression_{number}", "expr": text.replace("$__rate_interval", "5m")} for number, text in enumerate(texts)
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}), "utf-8")  # JSON is YAML
    done = subprocess.run([str(PROMTOOL), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
