"""A sender that sends nothing but rubbish: preprocess stops before all of it is dead letters, and goes on when told to."""

import pytest

from pipeline import exits
from pipeline.publish import JobPublisher
from tests.support.ledger import Ledger, lags
from tests.support.processes import Installation

pytestmark = pytest.mark.broker

RECORDS, IN_RECORD = 8, 400
BULK = b"[" + b",".join([b'{"text":"hello","tenant":"nobody"}'] * IN_RECORD) + b"]"


def test_preprocess_stops_uncommitted_and_goes_on_when_the_limit_is_raised(place: Installation, ledger: Ledger) -> None:
    with JobPublisher(place.settings) as publisher:
        for _ in range(RECORDS):
            publisher.publish_raw(BULK)
    preprocess = place.stage("preprocess")
    preprocess.launch()
    assert preprocess.wait() == exits.DEAD_LETTERS, preprocess.log
    assert "of the last 1,000 jobs are dead letters (unknown_tenant " in preprocess.log
    ledger.poll()
    assert len(ledger.dead) < 1_000
    assert lags(place.settings)[0].behind > 0, "what crossed the limit is not committed"
    preprocess.start(LLMOS_DEAD_LETTER_SHARE_MAX="1")
    ledger.wait_for_jobs(RECORDS * IN_RECORD)
    assert preprocess.terminate() == exits.OK
    assert len(ledger.ids) == RECORDS * IN_RECORD
    assert not ledger.results
