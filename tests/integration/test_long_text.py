"""Long texts are read to the end, or refused: never cut."""

import pytest

from pipeline.publish import JobPublisher
from schemas.codes import Code, Verdict
from schemas.jobs import TextJob
from tests.support.ledger import Ledger
from tests.support.processes import Installation

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("stages")]

LONG = 30_000
CEILING = 65_536


def _publish(place: Installation, texts: dict[str, str]) -> None:
    with JobPublisher(place.settings) as publisher:
        publisher.publish_many(TextJob(job_id=job_id, text=text) for job_id, text in texts.items())


def test_a_long_text_is_scored_whole(place: Installation, ledger: Ledger) -> None:
    _publish(place, {"long": "filler " * LONG})
    ledger.wait_for(["long"])
    coverage = ledger.result_of("long")["coverage"]
    assert (coverage["tokens_total"], coverage["tokens_scored"]) == (LONG, LONG)
    assert coverage["windows"] > LONG / 64, "the toy's windows hold 64 tokens, and overlap"


@pytest.mark.parametrize("before", [0, 61, 62, 2_000, LONG - 2])
def test_an_attack_is_found_wherever_it_hides(place: Installation, ledger: Ledger, before: int) -> None:
    job_id = f"hidden-{before}"
    _publish(place, {job_id: "filler " * before + "you idiot " + "filler " * (LONG - 2 - before)})
    ledger.wait_for([job_id])
    ledger.settle()
    assert ledger.result_of(job_id)["verdict"] == Verdict.BLOCK
    assert ledger.flagged[job_id] == ledger.results[job_id]


def test_a_text_beyond_the_ceiling_is_refused_and_its_neighbours_are_not(place: Installation, ledger: Ledger) -> None:
    texts = {"before": "hello", "at-ceiling": "filler " * CEILING, "beyond": "filler " * (CEILING + 1), "after": "you idiot"}
    _publish(place, texts)
    ledger.wait_for(texts)
    assert ledger.dead_of("beyond").code == Code.TOO_MANY_TOKENS
    assert set(ledger.results) == {"before", "at-ceiling", "after"}
    assert ledger.result_of("at-ceiling")["coverage"]["tokens_scored"] == CEILING
