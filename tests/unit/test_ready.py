"""What a process says of itself: up or not, alive or not, and what its canaries met."""

import os
from pathlib import Path

import pytest

from pipeline import ready as module
from pipeline.ready import NONE_YET, NOT_UP, Readiness
from pipeline.settings import Settings

TROUBLE = "the known-bad canary got the verdict allow"


class Clock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_it_is_ready_while_it_is_up(tmp_path: Path) -> None:
    readiness = Readiness(Settings(ready_file=tmp_path / "ready"))
    assert readiness.because() == [NOT_UP]
    readiness.announce(up=True)
    assert (readiness.because(), (tmp_path / "ready").exists()) == ([], True)
    readiness.announce(up=False)
    assert (readiness.because(), (tmp_path / "ready").exists(), readiness.alive) == ([NOT_UP], False, True)


def test_where_canaries_are_on_the_last_ones_must_be_right_too(tmp_path: Path) -> None:
    readiness = Readiness(Settings(canary_every_s=30, ready_file=tmp_path / "ready"))
    readiness.announce(up=True)
    assert readiness.because() == [NONE_YET]
    readiness.heard([])
    assert readiness.because() == []
    readiness.heard([TROUBLE])
    assert readiness.because() == readiness.canary_troubles() == [TROUBLE]
    assert (tmp_path / "ready").exists(), "who starts processes must not wait for the whole queue"
    readiness.announce(up=False)
    assert readiness.because() == [NOT_UP, TROUBLE]


def test_where_canaries_are_off_they_say_nothing() -> None:
    readiness = Readiness(Settings())
    readiness.heard([TROUBLE])
    assert readiness.canary_troubles() == []


def test_right_answers_count_only_as_long_as_new_ones_come() -> None:
    clock = Clock()
    readiness = Readiness(Settings(canary_every_s=30, canary_within_s=15), clock)
    readiness.heard([])
    clock.now += 90
    assert readiness.canary_troubles() == []
    clock.now += 1
    assert readiness.canary_troubles() == ["no canary was heard of for 91 s"]
    readiness.heard([])
    assert readiness.canary_troubles() == []


def test_who_gives_up_is_neither_alive_nor_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readiness = Readiness(Settings(ready_file=tmp_path / "ready"))
    readiness.announce(up=True)
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    monkeypatch.setattr(module.logging, "shutdown", lambda: None)
    readiness.end_stuck("nothing was finished")
    assert (readiness.alive, readiness.because(), codes) == (False, [NOT_UP], [os.EX_TEMPFAIL])
    assert not (tmp_path / "ready").exists()
