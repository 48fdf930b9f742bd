"""Canaries: which texts, what counts as right, and that nobody else's work is touched by them."""

import json
from pathlib import Path

import pytest

from pipeline.canary import CANARY_TENANT, Answer, Kind, canary_jobs, said_by
from pipeline.policies import load_policy, policy_of, shipped_policy
from pipeline.settings import Settings
from schemas.bundles import BundleManifest
from schemas.codes import Verdict
from schemas.errors import MessageError
from tests.support.policies import write_policy

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "moderation-en-zh" / "bundle.json"


@pytest.mark.parametrize(
    ("kind", "said", "trouble"),
    [
        (Kind.BAD, "block", None),
        (Kind.BAD, "review", None),
        (Kind.GOOD, "allow", None),
        (Kind.BAD, "allow", "the known-bad canary got the verdict allow"),
        (Kind.GOOD, "block", "the known-good canary got the verdict block"),
        (Kind.GOOD, "review", "the known-good canary got the verdict review"),
        (Kind.BAD, "no_route", "the known-bad canary became a dead letter: no_route"),
        (Kind.GOOD, None, "the known-good canary had no answer within 15 s"),
    ],
)
def test_what_counts_as_the_right_answer(kind: Kind, said: str | None, trouble: str | None) -> None:
    answer = Answer(kind, said, 15)
    assert (answer.trouble, answer.right) == (trouble, trouble is None)


def test_canaries_are_ordinary_jobs_of_the_reserved_tenant() -> None:
    settings = Settings(topic_prefix="test", canary_bad_text="you idiot", canary_good_text="hello friend")
    bad, good = canary_jobs(settings)[Kind.BAD], canary_jobs(settings)[Kind.GOOD]
    assert (bad.text, good.text) == ("you idiot", "hello friend")
    assert {bad.tenant, good.tenant} == {CANARY_TENANT}
    assert {bad.reply_to, good.reply_to} == {"test.replies.canary"}
    assert len({job.job_id for _ in range(2) for job in canary_jobs(settings).values()}) == 4


def test_the_default_texts_are_among_those_that_every_worker_of_the_shipped_model_proves() -> None:
    manifest = BundleManifest.model_validate_json(SHIPPED.read_text("utf-8"))
    verdicts = {canary.text: canary.verdict for canary in manifest.canaries}
    settings = Settings()
    assert verdicts[settings.canary_good_text] is Verdict.ALLOW
    assert verdicts[settings.canary_bad_text] is Verdict.BLOCK


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (json.dumps({"job_id": "a", "verdict": "block"}).encode(), "block"),
        (json.dumps({"job_id": "a", "code": "no_route"}).encode(), "no_route"),
        *((value, None) for value in (None, b"", b"{", b"[]", b"{}", b'"allow"', b'{"verdict": 1}')),
    ],
)
def test_what_an_outcome_says(outcome: bytes | None, said: str | None) -> None:
    assert said_by(outcome) == said


def test_the_shipped_policy_judges_canaries_unless_there_is_one_by_their_name(tmp_path: Path) -> None:
    own = load_policy(write_policy(tmp_path, CANARY_TENANT))
    assert policy_of({}, CANARY_TENANT) == shipped_policy()
    assert policy_of({CANARY_TENANT: own}, CANARY_TENANT) is own
    with pytest.raises(MessageError, match="has no policy"):
        policy_of({}, f"{CANARY_TENANT}-2")
