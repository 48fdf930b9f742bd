"""The command line as a person runs it, beside a running system."""

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import exits
from schemas.codes import Code, Verdict
from tests.support.ledger import Ledger
from tests.support.processes import Installation
from tests.support.toy import make_toy_bundle

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("stages")]

TOPICS = 7
ROWS = 3_000


def lines_of(output: str) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in output.splitlines()]


def write_jobs(file: Path, *rows: dict[str, Any]) -> str:
    """A JSONL file; returns its name."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(file)


def verdicts(outcomes: list[dict[str, Any]]) -> dict[str | None, str]:
    """By job id, the verdict of each result and the code of each dead letter."""
    return {outcome["job_id"]: outcome.get("verdict") or outcome["code"] for outcome in outcomes}


def unserved(place: Installation) -> dict[str, str]:
    """Settings of other topics on the same broker, which no process reads."""
    return {"LLMOS_TOPIC_PREFIX": f"{place.settings.topic_prefix}-unserved"}


def test_topics_are_created_once_and_described(place: Installation) -> None:
    before = place.llmos("topics", "describe", "--json", **unserved(place))
    first = place.llmos("topics", "create", "--json", **unserved(place))
    second = place.llmos("topics", "create", "--json", **unserved(place))
    after = place.llmos("topics", "describe", "--json", **unserved(place))
    assert [before.returncode, first.returncode, second.returncode, after.returncode] == [1, 0, 0, 0]
    created = json.loads(first.stdout)["created"]
    assert len(created) == TOPICS
    assert json.loads(second.stdout) == {"created": [], "there": created}
    partitions = {topic["name"]: topic["partitions"] for topic in json.loads(after.stdout)["topics"]}
    assert partitions.keys() == set(created)
    assert {count for name, count in partitions.items() if ".replies." not in name} == {place.settings.topic_partitions}


def test_a_file_comes_back_complete_and_what_is_refused_is_named_by_its_line(place: Installation, tmp_path: Path) -> None:
    rows = [
        b'{"job_id": "row-1", "text": "you idiot"}',
        b'{"job_id": "row-2", "text": "hel',
        b"",
        b'{"job_id": "row-4", "text": " "}',
        b'{"job_id": "row-5", "text": "hello", "metadata": {"row": 5}}',
        b'{"job_id": "row-6", "text": "hello", "tenant": "nobody"}',
        b'{"job_id": "row-7", "text": "\xff"}',
        b'{"job_id": "row-8", "text": "hello", "colour": "red"}',
    ]
    (tmp_path / "jobs.jsonl").write_bytes(b"\n".join(rows))
    output = tmp_path / "outcomes.jsonl"
    done = place.llmos("publish", str(tmp_path / "jobs.jsonl"), "--wait", "--output", str(output))
    assert done.returncode == exits.INCOMPLETE, done.stderr
    assert "3 rows accepted, 4 refused" in done.stderr
    assert re.findall(r"line (\d+): (\w+)", done.stderr) == [
        ("2", "malformed_json"),
        ("4", "empty_text"),
        ("7", "invalid_utf8"),
        ("8", "unknown_field"),
    ]
    outcomes = lines_of(output.read_text("utf-8"))
    assert len(outcomes) == len(rows) - 1, "one line for each row that was not blank"
    assert verdicts(outcomes) == {
        "row-1": Verdict.BLOCK,
        None: Code.MALFORMED_JSON,
        "row-4": Code.EMPTY_TEXT,
        "row-5": Verdict.ALLOW,
        "row-6": Code.UNKNOWN_TENANT,
        "row-7": Code.INVALID_UTF8,
        "row-8": Code.UNKNOWN_FIELD,
    }
    assert next(outcome["metadata"] for outcome in outcomes if outcome["job_id"] == "row-5") == {"row": 5}


CSV = 'job_id,body,author\ncsv-1,"you\nidiot",ann\ncsv-2,hello friend,"bob ""the"" builder"\n'


@pytest.mark.parametrize(
    ("arguments", "content", "expected"),
    [
        (["--text-column", "body", "FILE.csv"], CSV, {"csv-1": Verdict.BLOCK, "csv-2": Verdict.ALLOW}),
        (["FILE.txt"], "you idiot\nhello\n\nwhat shit\n", [Verdict.BLOCK, Verdict.ALLOW, Verdict.REVIEW]),
        (["--format", "text", "-"], "你好\nmoron", [Verdict.ALLOW, Verdict.BLOCK]),
        (["-"], '{"job_id": "in-1", "text": "idiot"}\n{"job_id": "in-2", "text": "hi"}', {"in-1": "block", "in-2": "allow"}),
        (["--text-column", "body", "-"], '{"job_id": "body-1", "body": "idiot"}', {"body-1": Verdict.BLOCK}),
    ],
)
def test_every_format_comes_back_from_files_and_from_standard_input(
    place: Installation, tmp_path: Path, arguments: list[str], content: str, expected: dict[str, str] | list[str]
) -> None:
    stdin = b""
    if arguments[-1] == "-":
        stdin = content.encode()
    else:
        arguments = [*arguments[:-1], str(tmp_path / arguments[-1])]
        Path(arguments[-1]).write_text(content, "utf-8")
    done = place.llmos("publish", *arguments, "--wait", stdin=stdin)
    assert done.returncode == exits.OK, done.stderr
    outcomes = lines_of(done.stdout)
    assert len(outcomes) == len(expected)
    if isinstance(expected, dict):
        assert verdicts(outcomes) == expected
    else:
        assert sorted(outcome["verdict"] for outcome in outcomes) == sorted(expected)


def test_columns_beside_the_text_become_metadata(place: Installation) -> None:
    done = place.llmos("publish", "--format", "csv", "--text-column", "body", "-", "--wait", stdin=CSV.encode())
    authors = {outcome["job_id"]: outcome["metadata"] for outcome in lines_of(done.stdout)}
    assert authors == {"csv-1": {"author": "ann"}, "csv-2": {"author": 'bob "the" builder'}}


def test_a_large_file_comes_back_with_one_line_a_job(place: Installation, tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path / "large.jsonl", *({"job_id": f"large-{n}", "text": "hello idiot"} for n in range(ROWS)))
    done = place.llmos("publish", jobs, "--wait", "--output", str(tmp_path / "out.jsonl"))
    outcomes = lines_of((tmp_path / "out.jsonl").read_text("utf-8"))
    assert done.returncode == exits.OK, done.stderr
    assert sorted(outcome["job_id"] for outcome in outcomes) == sorted(f"large-{n}" for n in range(ROWS))


def test_strict_stops_at_the_first_row_that_is_refused(place: Installation, ledger: Ledger, tmp_path: Path) -> None:
    rows = [{"job_id": "strict-1", "text": "hello"}, {"job_id": "strict-2", "text": ""}, {"job_id": "strict-3", "text": "hello"}]
    done = place.llmos("publish", write_jobs(tmp_path / "jobs.jsonl", *rows), "--strict", "--wait")
    assert done.returncode == exits.INCOMPLETE
    assert "line 2: empty_text" in done.stderr
    assert verdicts(lines_of(done.stdout)) == {"strict-1": Verdict.ALLOW}
    ledger.settle()
    assert ledger.ids == {"strict-1"}


@pytest.fixture(scope="module")
def twice(place: Installation) -> datetime:
    """Three jobs published twice; returns a moment between the first time and the second, of which the third is left out."""
    rows = [{"job_id": f"read-{n}", "text": text} for n, text in enumerate(["you idiot", "what shit", "hello"])]
    first = place.llmos("publish", write_jobs(place.folder / "first.jsonl", *rows), "--wait")
    between = datetime.now(UTC)
    second = place.llmos("publish", write_jobs(place.folder / "second.jsonl", *rows[:2]), "--wait")
    assert first.returncode == second.returncode == exits.OK
    return between


def read(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The ids of `twice` among what `llmos results` printed."""
    assert done.returncode == exits.OK, done.stderr
    return sorted(result["job_id"] for result in lines_of(done.stdout) if result["job_id"].startswith("read-"))


def test_results_are_printed_once_a_job(place: Installation, twice: datetime) -> None:
    assert read(place.llmos("results", "--format", "jsonl")) == ["read-0", "read-1", "read-2"]


def test_flagged_results_are_those_that_are_not_allowed(place: Installation, twice: datetime) -> None:
    assert read(place.llmos("results", "--flagged", "--format", "jsonl")) == ["read-0", "read-1"]


def test_results_since_a_moment_are_those_that_came_later(place: Installation, twice: datetime) -> None:
    since = place.llmos("results", "--since", twice.isoformat(), "--format", "jsonl")
    assert read(since) == ["read-0", "read-1"]
    assert len(read(place.llmos("results", "--since", "1h", "--format", "jsonl"))) == 3


def test_results_for_people_tell_verdict_and_labels(place: Installation, twice: datetime) -> None:
    done = place.llmos("results")
    assert re.search(r"^block +read-0 en toxicity 0\.98, insult 0\.98$", done.stdout, re.MULTILINE)


def test_what_nobody_works_on_is_missing_in_time(place: Installation, tmp_path: Path) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", {"job_id": "waiting", "text": "hello"})
    place.llmos("topics", "create", **unserved(place))
    done = place.llmos("publish", jobs, "--wait", "--timeout", "1", **unserved(place))
    assert done.returncode == exits.TIMEOUT
    assert "waiting" in done.stderr


def test_a_broker_that_is_away_is_one_sentence_and_exit_code_75(place: Installation) -> None:
    done = place.llmos("topics", "describe", "--bootstrap", "127.0.0.1:1", LLMOS_KAFKA_REQUEST_TIMEOUT_MS="1000")
    assert done.returncode == exits.TRANSIENT
    assert done.stderr.startswith("llmos: ")
    assert "Traceback" not in done.stderr


def test_bundles_are_listed_and_a_damaged_one_is_exit_code_4(place: Installation, tmp_path: Path) -> None:
    folder = make_toy_bundle(tmp_path)
    models = {"LLMOS_MODELS_DIR": str(tmp_path)}
    listed = json.loads(place.llmos("models", "list", "--json", **models).stdout)
    assert [bundle["name"] for bundle in listed] == ["toy"]
    assert place.llmos("models", "verify", "toy", **models).returncode == exits.OK
    graph = bytearray((folder / "model.onnx").read_bytes())
    graph[len(graph) // 2] ^= 1
    (folder / "model.onnx").write_bytes(graph)
    done = place.llmos("models", "verify", "toy", **models)
    assert done.returncode == exits.BUNDLE
    assert "model.onnx is damaged" in done.stderr
