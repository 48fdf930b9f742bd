"""How benchmarks turn what they saw into figures, and what they say of the machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bench_pipeline, bench_scaling
from benchmarks.__main__ import ALL, JOBS_MIN, jobs_of
from benchmarks.bench_peers import OURS, add_ratios
from benchmarks.support import report as reports
from benchmarks.support.drive import Driven
from benchmarks.support.machine import machine, processor
from benchmarks.support.plain import headers, record
from benchmarks.support.stages import Batches

CPU_S = {"publish": 1.0, "broker": 2.0, "preprocess": 3.0, "worker": 40.0, "results": 4.0}


def driven(came: int = 1_000) -> Driven:
    return Driven(jobs=1_000, came=came, began=5.0, seconds=2.0, cpu_s=CPU_S, usage={}, batches=Batches())


def test_cpu_time_is_told_by_job_and_stage_in_the_order_of_the_way() -> None:
    by_stage = driven().cpu_us_per_job()
    assert list(by_stage) == ["publish", "broker", "preprocess", "worker", "results"]
    assert by_stage["worker"] == pytest.approx(40_000)


def test_jobs_that_did_not_come_back_count_for_nothing() -> None:
    assert driven(came=500).texts_per_s == 250
    assert driven(came=500).cpu_us_per_job()["worker"] == pytest.approx(80_000)


def test_peers_are_compared_with_the_mean_of_our_first_and_last_bulk_run() -> None:
    rows: list[dict[str, Any]] = [
        {"name": OURS, "form": "many jobs a record", "texts_per_s": 300.0},
        {"name": OURS, "form": "one job a record", "texts_per_s": 200.0},
        {"name": "a peer", "form": "usual", "texts_per_s": 50.0},
        {"name": "another", "form": "usual", "texts_per_s": None, "why": "it does not install"},
        {"name": OURS, "form": "many jobs a record", "texts_per_s": 100.0},
    ]
    add_ratios(rows, limit=400.0)
    assert (rows[2]["of_ceiling"], rows[2]["ours_times"]) == (0.125, 4.0)
    assert "of_ceiling" not in rows[3]


def test_scaling_is_compared_with_the_first_level() -> None:
    levels = [{"processes": 2, "texts_per_s": 100.0}, {"processes": 8, "texts_per_s": 300.0}]
    bench_scaling.against_the_first(levels)
    assert [level["of_linear"] for level in levels] == [1.0, 0.75]


@pytest.mark.parametrize(("own", "asked", "jobs"), [(100_000, 100_000, 100_000), (5_000, 50_000, 2_500), (5_000, 10, JOBS_MIN)])
def test_all_benchmarks_shrink_together(own: int, asked: int, jobs: int) -> None:
    assert jobs_of(own, asked) == jobs


def test_every_benchmark_is_run() -> None:
    folder = Path(bench_pipeline.__file__).parent
    assert set(ALL) == {file.stem for file in folder.glob("bench_*.py")}


def test_the_last_line_is_json_and_is_kept_with_commit_and_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reports, "RESULTS", tmp_path / "results")
    given = reports.arguments("any", 10).parse_args(["--keep"])
    shown = reports.table("a title", ("what", "figure"), [("one", 1)])
    reports.Report("bench_any", given).finish({"efficiency": 0.9}, shown)
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "results" / "any.json").read_text("utf-8"))
    assert printed["efficiency"] == 0.9
    assert {"benchmark", "commit", "machine", "date", "load_before"} <= set(printed)


def test_nothing_is_kept_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "RESULTS", tmp_path / "results")
    reports.Report("bench_any", reports.arguments("any", 10).parse_args([])).finish({})
    assert not (tmp_path / "results").exists()


def test_settings_that_were_changed_are_told_and_passwords_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_WORKER_THREADS", "3")
    monkeypatch.setenv("LLMOS_KAFKA_SASL_PASSWORD", "secret")
    told = reports.circumstances()
    assert told["settings"]["LLMOS_WORKER_THREADS"] == "3"
    assert "secret" not in json.dumps(told)


def test_the_processor_is_named() -> None:
    assert processor("processor\t: 0\nmodel name\t: A Fast One\nmodel name\t: A Fast One\n") == "A Fast One"
    assert processor("processor: 0\n")
    assert "cores of" in machine()


@pytest.mark.parametrize("kind", ["json", "mlserver"])
def test_a_peer_gets_the_text_as_it_is(kind: str) -> None:
    text = 'a "quoted" 文本'
    found = json.loads(record("id-1", text, kind))
    assert text in (found.get("text"), *(found["inputs"][0]["data"] if kind == "mlserver" else ()))
    assert bool(headers(kind)) == (kind == "mlserver")
