"""Dead letters on the command line: listed, shown, mended and published again."""

import json
from typing import Any

import pytest

from pipeline import exits
from pipeline.dead_letter_box import REPLAY_HEADER
from pipeline.publish import JobPublisher
from pipeline.read import Reader
from schemas.codes import Code, Verdict
from schemas.dead_letters import Replay
from schemas.jobs import TextJob
from tests.support.ledger import Ledger, end_of, open_ledger, raw_producer
from tests.support.processes import Installation

pytestmark = [pytest.mark.broker, pytest.mark.usefixtures("stages")]


@pytest.fixture(scope="module", autouse=True)
def _letters(place: Installation, stages: object) -> None:
    """Jobs of a tenant without a policy, in bulk and alone, an empty text, and a record that is no JSON."""
    tenants = "default", "nobody", "default", "nobody"
    bulk = [TextJob(job_id=f"bulk-{number}", text="you idiot", tenant=tenant) for number, tenant in enumerate(tenants)]
    with open_ledger(place.settings) as ledger:
        with JobPublisher(place.settings) as publisher:
            publisher.publish_many(bulk)
            publisher.publish(TextJob(job_id="alone", text="you idiot", tenant="nobody"))
            publisher.publish_raw(b'{"job_id": "empty", "text": ""}')
        with raw_producer(place.settings) as producer:
            producer.send(place.settings.jobs_topic, b'{"text": "hel', key=b"k", headers=[("h", b"1")])
        ledger.wait_for_dead(5)


def listed(place: Installation, *options: str) -> list[dict[str, Any]]:
    """What `llmos dead-letters list` prints."""
    done = place.llmos("dead-letters", "list", "--json", *options)
    assert done.returncode == exits.OK, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dead_letters_are_listed_by_code_by_time_and_by_number(place: Installation) -> None:
    tenants = listed(place, "--code", Code.UNKNOWN_TENANT)
    assert {letter["job_id"] for letter in tenants} == {"bulk-1", "bulk-3", "alone"}
    assert len(listed(place, "--since", "1h", "--limit", "2")) == 2
    assert listed(place, "--since", "2100-01-01") == []
    assert "bulk-1" in place.llmos("dead-letters", "list").stdout


def test_a_dead_letter_is_shown_by_place_or_id_with_its_original(place: Installation) -> None:
    (broken,) = listed(place, "--code", Code.MALFORMED_JSON)
    by_place = json.loads(place.llmos("dead-letters", "show", broken["place"], "--json").stdout)
    assert by_place["original"]["value"]["data"] == '{"text": "hel'
    assert by_place["original"]["headers"][0]["name"] == "h"
    by_id = place.llmos("dead-letters", "show", "bulk-3")
    assert by_id.returncode == exits.OK
    assert "you idiot" in by_id.stdout
    assert place.llmos("dead-letters", "show", "nobody's").returncode == exits.CONFIGURATION


def test_a_dry_run_says_what_it_would_do_and_does_nothing(place: Installation) -> None:
    topics = place.settings.jobs_topic, place.settings.replays_topic
    before = [end_of(place.settings, topic) for topic in topics]
    done = place.llmos("dead-letters", "replay", "alone", "empty", "--dry-run")
    assert done.returncode == exits.OK
    assert {line.split()[-1] for line in done.stdout.splitlines()} == {"alone", "empty"}
    assert [end_of(place.settings, topic) for topic in topics] == before


def test_a_mended_dead_letter_gets_its_result_and_is_not_replayed_again(place: Installation, ledger: Ledger) -> None:
    mended = ("dead-letters", "replay", "--code", Code.UNKNOWN_TENANT, "--set", 'tenant="default"')
    first, second = place.llmos(*mended), place.llmos(*mended)
    assert first.returncode == second.returncode == exits.OK
    assert "3 replayed, 0 skipped" in first.stderr
    assert "0 replayed, 3 skipped" in second.stderr
    ledger.wait_for(["bulk-1", "bulk-3", "alone"])
    ledger.settle()
    assert {job_id: len(found) for job_id, found in ledger.results.items()} == {"bulk-1": 1, "bulk-3": 1, "alone": 1}
    assert all(result["verdict"] == Verdict.BLOCK for found in ledger.results.values() for result in found)
    assert not ledger.dead


def test_a_replay_carries_key_and_headers_and_says_what_it_is(place: Installation, ledger: Ledger) -> None:
    (broken,) = listed(place, "--code", Code.MALFORMED_JSON)
    done = place.llmos("dead-letters", "replay", broken["place"])
    assert done.returncode == exits.OK, done.stderr
    ledger.wait_for_dead(1)
    letter = ledger.dead[0]
    assert letter.code == Code.MALFORMED_JSON, "nothing was mended, so it comes again"
    assert letter.original.key is not None
    assert letter.original.key.to_bytes() == b"k"
    headers = {header.name: header.value.to_bytes() for header in letter.original.headers if header.value}
    place_of_it = f"{place.settings.dead_letters_topic}/{broken['place'].replace(':', '/')}"
    assert headers.items() >= {"h": b"1", REPLAY_HEADER: place_of_it.encode()}.items()
    assert letter.attempts == 2


def test_a_note_is_kept_of_a_replay_and_again_overrules_it(place: Installation, ledger: Ledger) -> None:
    again = ("dead-letters", "replay", "empty", "--again")
    assert [place.llmos(*again, *mend).returncode for mend in ((), ("--set", 'text="hello"'))] == [exits.OK, exits.OK]
    ledger.wait_for_dead(1)
    ledger.settle()
    assert (ledger.codes, list(ledger.results)) == ({Code.EMPTY_TEXT: 1}, ["empty"])
    with Reader(place.settings, [place.settings.replays_topic]) as reader:
        reader.seek_start()
        notes = [Replay.model_validate_json(record.value) for record in reader.records(follow=False)]
    # The replay that mended nothing left a dead letter of its own, which the second replayed as well.
    done = [note for note in notes if note.job_id == "empty" and note.state == "published"]
    assert sorted(note.edited for note in done) == [False, True, True]


def test_a_replay_of_everything_must_be_asked_for(place: Installation) -> None:
    done = place.llmos("dead-letters", "replay")
    assert done.returncode == exits.CONFIGURATION
    assert "say which" in done.stderr
