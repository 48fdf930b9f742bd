"""A policy file changes under running processes, and the next verdicts follow; the old ones can be replayed under it."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.publish import JobPublisher
from schemas.codes import Code, Verdict
from schemas.jobs import TextJob
from tests.support.ledger import Ledger
from tests.support.policies import write_policy
from tests.support.processes import Installation, Stage

pytestmark = pytest.mark.broker

CANARIES = "insult = { block = 0.9 }\n"
"""What the toy's canaries ask of the default policy."""
STRICT = CANARIES + "threat = { review = 0.5, block = 0.9 }"
MILD = CANARIES + "threat = { review = 0.5 }"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policies folder of the running processes."""
    made = tmp_path_factory.mktemp("policies")
    write_policy(made, labels=STRICT, words='block = ["buy followers"]')
    return made


@pytest.fixture(scope="module")
def stages(place: Installation, folder: Path) -> tuple[Stage, Stage]:
    """One preprocess app and one worker over that folder, ready."""
    started = (
        place.stage("preprocess", LLMOS_POLICIES_DIR=str(folder)),
        place.stage("worker", LLMOS_POLICIES_DIR=str(folder)),
    )
    for stage in started:
        stage.launch()
    for stage in started:
        stage.wait_until_ready()
    return started


def outcome(place: Installation, ledger: Ledger, text: str, tenant: str = "default") -> str:
    """What comes of a new job with that text: the verdict and the policy's release, or the code of its dead letter."""
    job = TextJob(job_id=uuid4().hex, text=text, tenant=tenant)
    with JobPublisher(place.settings) as publisher:
        publisher.publish(job)
    ledger.wait_for([job.job_id])
    if job.job_id not in ledger.results:
        return ledger.dead_of(job.job_id).code
    result = ledger.result_of(job.job_id)
    return f"{result['verdict']} by {result['policy']['release']}"


def wait_for(place: Installation, ledger: Ledger, text: str, wanted: str, tenant: str = "default") -> None:
    """Send jobs, one after the other, until one has the outcome `wanted`; before it they have the one that was."""
    seen = [outcome(place, ledger, text, tenant)]
    while seen[-1] != wanted:
        assert len(seen) < 500, seen
        seen.append(outcome(place, ledger, text, tenant))
    assert len(set(seen)) <= 2, seen


def test_the_next_verdicts_follow_a_changed_file_and_no_process_starts_anew(
    place: Installation, folder: Path, stages: tuple[Stage, Stage], ledger: Ledger
) -> None:
    assert outcome(place, ledger, "kill") == "block by 1"
    assert outcome(place, ledger, "BUY  followers") == "block by 1"
    write_policy(folder, release="2", labels=MILD, words='review = ["buy followers"]')
    wait_for(place, ledger, "kill", "review by 2")
    wait_for(place, ledger, "buy followers", "review by 2")
    (folder / "default.toml").write_text("name = ")
    assert outcome(place, ledger, "kill") == "review by 2"
    assert all(stage.alive for stage in stages)


def test_a_new_tenant_is_served_and_one_that_is_gone_is_not(
    place: Installation, folder: Path, stages: tuple[Stage, Stage], ledger: Ledger
) -> None:
    assert outcome(place, ledger, "kill", "shop") == Code.UNKNOWN_TENANT
    file = write_policy(folder, "shop", labels=STRICT)
    wait_for(place, ledger, "kill", "block by 1", "shop")
    file.unlink()
    wait_for(place, ledger, "kill", Code.UNKNOWN_TENANT, "shop")


def test_past_results_are_replayed_under_a_draft(
    place: Installation, stages: tuple[Stage, Stage], ledger: Ledger, tmp_path: Path
) -> None:
    write_policy(tmp_path, release="3", labels="threat = { review = 0.99 }")
    done = place.llmos("policy", "replay", str(tmp_path / "default.toml"), "--since", "1h", "--json", "--examples", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["results"] >= 4
    flips = {(flip["from"], flip["to"]) for flip in found["flips"]}
    assert flips == {(Verdict.BLOCK, Verdict.ALLOW), (Verdict.REVIEW, Verdict.ALLOW)}
    assert found["examples"][0]["job_id"]
