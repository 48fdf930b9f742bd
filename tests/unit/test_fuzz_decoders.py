"""The fuzz corpus and a first stretch of the fuzz run: no decoder breaks its promise."""

from itertools import islice
from pathlib import Path

import pytest

from pipeline.preprocess import decode
from schemas.codes import Code
from tests.fuzz import fuzz_decoders as fuzz

MUTATIONS = 2_000
FILES = [(target, file) for target in fuzz.TARGETS for file in fuzz.corpus(target)]


@pytest.mark.parametrize(("target", "file"), FILES, ids=lambda value: value.stem if isinstance(value, Path) else value)
def test_a_file_of_the_corpus_has_the_outcome_in_its_name(target: str, file: Path) -> None:
    expected = file.stem.partition("--")[0]
    assert set(fuzz.TARGETS[target](file.read_bytes())) == {expected}


def test_a_tombstone_is_an_empty_record() -> None:
    assert fuzz.read_jobs(None) == ["empty_record"]


def test_the_corpus_holds_every_code_that_bytes_alone_can_earn() -> None:
    outcomes = {file.stem.partition("--")[0] for _, file in FILES}
    elsewhere = {"record_too_large", "text_too_long", "too_many_tokens", "deadline_passed", "unknown_task", "unknown_tenant"}
    elsewhere |= {
        "no_route",
        "reply_to_not_allowed",
        "preprocess_failed",
        "tokenizer_mismatch",
        "inference_failed",
        "worker_crashed",
    }
    assert outcomes == {"accepted", "read", "refused", *Code} - elsewhere


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_inputs_break_no_promise(seed: int) -> None:
    failures = [
        (target, data[:200], error)
        for target, data in islice(fuzz.inputs(seed), MUTATIONS // 2)
        if (error := fuzz.broken(target, data))
    ]
    assert failures == []


def test_a_seed_gives_the_same_inputs_again_and_another_seed_others() -> None:
    first, again, other = (list(islice(fuzz.inputs(seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_the_inputs_are_damaged_enough_and_not_too_much() -> None:
    outcomes = [outcome for target, data in islice(fuzz.inputs(3), 500) for outcome in fuzz.TARGETS[target](data)]
    assert len(set(outcomes)) > 10
    assert {"accepted", "malformed_json", "invalid_utf8", "work_corrupt", "refused"} <= set(outcomes)


def test_a_broken_promise_is_kept_and_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_utf8_error", lambda *_: 1 / 0)
    assert fuzz.main(["--inputs", "300", "--seed", "1", "--failures", str(tmp_path / "kept")]) == 1
    kept = list((tmp_path / "kept").iterdir())
    assert kept
    assert all(isinstance(fuzz.broken("jobs", file.read_bytes()), ZeroDivisionError) for file in kept)
    monkeypatch.undo()
    assert all(fuzz.broken("jobs", file.read_bytes()) is None for file in kept)


def test_a_run_that_breaks_nothing_keeps_nothing(tmp_path: Path) -> None:
    assert fuzz.main(["--inputs", "300", "--seed", "1", "--failures", str(tmp_path / "kept")]) == 0
    assert not (tmp_path / "kept").exists()


def test_a_run_ends_in_time() -> None:
    assert fuzz.main(["--seconds", "0"]) == 0
