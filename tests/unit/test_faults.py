"""The faults that tests ask for: off unless a test sets them, and then as real as they can be."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from pipeline.outgoing import Outgoing
from tests.support.fake_kafka import FakeKafka
from tests.support.loops import damaged, work
from tests.support.work import work_record
from workers.faults import VARIABLE, with_failing_tokens, with_faults
from workers.loop import decode_record
from workers.score import WorkRecord

OUTCOME = [Outgoing("results", b"a", b"")]


def score(records: Sequence[WorkRecord]) -> list[Outgoing]:
    return OUTCOME


@pytest.fixture(autouse=True)
def _no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def test_without_the_variable_nothing_stands_between() -> None:
    assert with_faults(score) is score
    run = lambda ids, _: ids  # noqa: E731 (identity is what counts)
    assert with_failing_tokens(run) is run


def test_a_slow_chunk_takes_that_much_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setenv(VARIABLE, "slow:250")
    assert with_faults(score)([work_record(work("a"))]) == OUTCOME
    assert slept == [0.25]


@pytest.mark.parametrize(("text", "code"), [("hello", None), ("KILLME now", 9)])
def test_a_text_that_holds_the_word_kills_the_process(monkeypatch: pytest.MonkeyPatch, text: str, code: int | None) -> None:
    exits: list[int] = []
    monkeypatch.setattr("os._exit", exits.append)
    monkeypatch.setenv(VARIABLE, "slow:0;crash:KILLME")
    assert with_faults(score)([work_record(work("a", text))]) == OUTCOME
    assert exits == ([code] if code else [])


def test_a_record_that_cannot_be_taken_apart_has_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os._exit", lambda _: pytest.fail("nothing to crash on"))
    monkeypatch.setenv(VARIABLE, "crash:damaged")
    record = work_record(work("a"))
    broken = decode_record(FakeKafka(work=1).append("work", damaged()))
    assert with_faults(score)([record, broken]) == OUTCOME


def test_the_model_fails_on_a_row_with_the_token_and_on_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "fail:7")
    run = with_failing_tokens(lambda ids, mask: ids * mask)
    good, bad = np.array([[1, 17]]), np.array([[1, 7]])
    assert run(good, good).tolist() == [[1, 289]]
    with pytest.raises(RuntimeError):
        run(bad, bad)


def test_the_process_really_dies() -> None:
    program = "import tests.unit.test_faults as t; t.with_faults(t.score)([t.work_record(t.work('BOOM'))])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], env={VARIABLE: "crash:BOOM"}, cwd=root, check=False, timeout=60)
    assert done.returncode == 9
