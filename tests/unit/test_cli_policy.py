"""`llmos policy` as a person meets it: what it says, its exit codes, and a replay over results in a topic."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pipeline.cli.main import app
from pipeline.settings import Settings
from schemas.policies import WordHits
from schemas.results import InferenceResult
from tests.support.fake_kafka import FakeKafka
from tests.support.policies import write_policy
from tests.support.toy import LABELS
from tests.support.work import ToyWorker, job, pack_jobs, work_record

ALL = "\n".join(f"{label} = {{ review = 0.5, block = 0.9 }}" for label in LABELS)
MILDER = ALL.replace("threat = { review = 0.5, block = 0.9 }", "threat = { review = 0.5 }").replace("toxicity", "nothing")
"""Threats are not blocked."""


def llmos(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["policy", *arguments], env={"COLUMNS": "200"})


def test_a_good_policy_is_shown_and_nothing_odd_is_said(toy_settings: Settings, tmp_path: Path) -> None:
    file = write_policy(tmp_path, "acme", labels=ALL, words='block = ["buy followers"]', unscored="block")
    result = llmos("check", str(file))
    assert result.exit_code == 0, result.output
    assert "acme release 1" in result.output
    assert "unscored: block, which is the verdict block" in result.output
    assert "words: 1 to block, 0 to review, 0 to allow" in result.output
    assert "odd" not in result.output


def test_what_is_odd_is_said_and_is_no_error(toy_settings: Settings, tmp_path: Path) -> None:
    result = llmos("check", str(write_policy(tmp_path, labels=ALL + "\ninsullt = { block = 0.5 }")))
    assert result.exit_code == 0
    assert "odd: labels.insullt: no model that serves this tenant has this label" in result.output


def test_every_file_is_checked_and_one_wrong_one_is_exit_code_3(toy_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("name = ")
    good = write_policy(tmp_path, labels=ALL)
    result = llmos("check", str(tmp_path / "bad.toml"), str(good), str(tmp_path / "none.toml"))
    assert result.exit_code == 3
    assert "default release 1" in result.stdout
    assert [file in result.stderr for file in ("bad.toml", "none.toml", "default.toml")] == [True, True, False]
    assert "Traceback" not in result.output


def test_without_models_the_rest_is_checked(toy_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMOS_MODELS_DIR", str(tmp_path))
    result = llmos("check", str(write_policy(tmp_path, labels="spam = {}")))
    assert result.exit_code == 0
    assert "labels are not compared" in result.stderr
    assert "odd: labels without review and block never move the verdict: spam" in result.output


@pytest.fixture
def policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the policies of two tenants."""
    folder = tmp_path / "policies"
    folder.mkdir()
    write_policy(folder, labels=ALL, words='block = ["[b]one[/]", "two"]')
    write_policy(folder, "other", labels=ALL)
    monkeypatch.setenv("LLMOS_POLICIES_DIR", str(folder))
    return folder


def test_a_tenants_policy_is_shown_with_its_words_if_asked(policies: Path) -> None:
    shown, with_words = llmos("show", "default"), llmos("show", "default", "--words")
    assert "toxicity" in shown.output
    assert "two" not in shown.output
    assert "block       1  [b]one[/]" in with_words.output
    document = json.loads(llmos("show", "default", "--json").stdout)
    assert (document["name"], document["words"]["block"][1], len(document["sha256"])) == ("default", "two", 64)


def test_a_tenant_without_a_policy_is_named(policies: Path) -> None:
    result = llmos("show", "nobody")
    assert result.exit_code == 3
    assert "nobody.toml" in result.stderr


@pytest.fixture
def kafka(toy_settings: Settings, policies: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    """A topic of results: three of 10 seconds after 1970, one of 20, one of them twice."""
    monkeypatch.setenv("LLMOS_KAFKA_BOOTSTRAP", "broker:9092")
    kafka = FakeKafka(**{"llmos.results": 2, "llmos.flagged": 1})
    kafka.install(monkeypatch)
    worker = ToyWorker(Settings(worker_provider="cpu"))
    jobs = [job("kill", metadata={"post": 7}), job("kill hello", tenant="other"), job("hello"), job("kill"), job("kill friend")]
    for number, one in enumerate(jobs):
        kafka.now_ms = worker.now_ms = 10_000 if number < 4 else 20_000
        for out in worker.scorer.score([work_record(pack_jobs(worker.bundle, [one]))]):
            kafka.append(out.topic, out.value, out.key)
    return kafka


@pytest.fixture
def milder(tmp_path: Path) -> str:
    """A draft that does not block threats."""
    return str(write_policy(tmp_path, release="2", labels=MILDER).rename(tmp_path / "draft.toml"))


def replayed(*arguments: str) -> dict[str, Any]:
    """The JSON of a replay."""
    result = llmos("replay", *arguments, "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def test_a_replay_counts_each_job_once_by_label_language_and_tenant(kafka: FakeKafka, milder: str) -> None:
    found = replayed(milder, "--examples", "1")
    flips = [{"from": "block", "to": "review", "count": 3}]
    assert (found["results"], found["flips"], found["policy"]["release"]) == (4, flips, "2")
    assert found["by_label"] == {name: {"results": 4, "flips": flips} for name in ("threat", "toxicity")}
    assert found["by_language"] == {"en": {"results": 4, "flips": flips}}
    assert [row["results"] for row in found["by_tenant"].values()] == [3, 1]
    (example,) = found["examples"]
    assert example["because"] == ["toxicity", "threat"]
    assert example["scores"]["threat"] > 0.9
    assert "text" not in example


@pytest.mark.parametrize(
    ("options", "results"),
    [
        (["--tenant", "other"], 1),
        (["--since", "1970-01-01T00:00:15Z"], 1),
        (["--until", "1970-01-01T00:00:15Z"], 3),
        (["--since", "1970-01-01T00:00:05Z", "--until", "1970-01-01T00:00:20Z"], 3),
        (["--tenant", "nobody"], 0),
        ([], 4),
    ],
)
def test_a_replay_may_be_of_a_tenant_and_of_a_time(kafka: FakeKafka, milder: str, options: list[str], results: int) -> None:
    assert replayed(milder, *options)["results"] == results


def test_the_policy_in_place_flips_nothing(kafka: FakeKafka, policies: Path) -> None:
    assert replayed(str(policies / "default.toml"))["flips"] == []
    assert "4 results under default release 1: 0 verdicts flip (0.00%)" in llmos("replay", str(policies / "default.toml")).output


def test_a_replay_for_people_has_tables_and_examples(kafka: FakeKafka, milder: str) -> None:
    output = llmos("replay", milder, "--tenant", "default", "--examples", "5").output
    assert "3 results under default release 2: 2 verdicts flip (66.67%)" in output
    for title in ("label", "language", "tenant", "block → review"):
        assert title in output
    assert 'block → review  kill  default en  toxicity 0.98, threat 0.98  {"post": 7}' in output.splitlines()


def test_a_replay_says_what_it_cannot_know(kafka: FakeKafka, tmp_path: Path, milder: str) -> None:
    held = InferenceResult.model_validate_json(kafka.values("llmos.results")[0])
    stranger = held.policy.model_copy(update={"sha256": "0" * 64})
    changes = {"job_id": "[b]odd[/]", "words": WordHits(review=(1,)), "policy": stranger}
    kafka.append("llmos.results", held.model_copy(update=changes).model_dump_json().encode())
    kafka.append("llmos.results", b"no result")
    with_words = write_policy(tmp_path, labels=MILDER, words='review = ["a"]')
    output = llmos("replay", str(with_words), "--examples", "9").output
    assert "with phrases of word lists: 1 results;" in output
    assert "under policies that are not here now: 1 flips" in output
    assert "[b]odd[/]" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.toml"], "none.toml"),
        (["FILE", "--since", "soon"], "--since"),
        (["FILE", "--until", "later"], "--until"),
    ],
)
def test_a_replay_that_cannot_work_says_why(kafka: FakeKafka, milder: str, arguments: list[str], said: str) -> None:
    result = llmos("replay", *(milder if word == "FILE" else word for word in arguments))
    assert result.exit_code == 3
    assert said in result.stderr


def test_times_are_in_the_document(kafka: FakeKafka, milder: str) -> None:
    found = replayed(milder, "--since", "1970-01-01T00:00:05Z")
    assert (datetime.fromisoformat(found["since"]), found["until"]) == (datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC), None)
