"""A worker proves itself before it says that it is ready."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.policies import LoadedPolicy, load_policies
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.settings import Settings
from schemas.bundles import Canary
from schemas.codes import Verdict
from schemas.errors import BundleError
from tests.support.toy import WINDOW
from tests.support.work import Run, ToyWorker
from workers.infer import Inference
from workers.plan import BUCKETS
from workers.prove import prove, warm_up


@pytest.fixture
def worker(toy_settings: Settings) -> ToyWorker:
    return ToyWorker(toy_settings)


def altered(worker: ToyWorker, **changes: Any) -> ToyWorker:
    """The same worker, its manifest changed."""
    worker.bundle = type(worker.bundle)(worker.bundle.folder, worker.bundle.manifest.model_copy(update=changes))
    return worker


def proven(worker: ToyWorker, policies: Mapping[str, LoadedPolicy] | None = None) -> None:
    prove(worker.inference, worker.bundle, Tokenizer(worker.bundle), worker.policies.current if policies is None else policies)


def warmed_up(worker: ToyWorker) -> Inference:
    warm_up(worker.inference, worker.bundle, Tokenizer(worker.bundle))
    return worker.inference


def broken(worker: ToyWorker, run: Run) -> ToyWorker:
    return ToyWorker(worker.settings, run)


def test_a_good_worker_is_proven(worker: ToyWorker) -> None:
    warmed_up(worker)
    proven(worker)


def test_every_length_of_serving_is_warmed_up(worker: ToyWorker) -> None:
    widths: list[int] = []

    def run(ids: Any, mask: Any) -> Any:
        widths.append(ids.shape[1])
        return np.zeros((len(ids), 9), np.float32)

    warmed_up(broken(worker, run))
    served = [size for size in BUCKETS if size <= WINDOW]
    assert widths[: len(served)] == served
    assert max(widths) == WINDOW, "nor is anything padded to more than serving pads to"


def test_a_window_between_two_buckets_is_warmed_up_too(worker: ToyWorker) -> None:
    """Windows of at most 65 tokens are padded to 66: that shape will be served."""
    widths: list[int] = []

    def run(ids: Any, mask: Any) -> Any:
        widths.append(ids.shape[1])
        return np.zeros((len(ids), 9), np.float32)

    spec = worker.bundle.manifest.windows.model_copy(update={"tokens_max": 65})
    warmed_up(altered(broken(worker, run), windows=spec))
    assert widths[:62] == [*range(4, 65), 66]


def test_a_model_that_fails_at_a_length_is_not_served(worker: ToyWorker) -> None:
    def run(ids: Any, mask: Any) -> Any:
        if ids.shape[1] > 30:
            raise RuntimeError("position beyond the table")
        return np.zeros((len(ids), 9), np.float32)

    with pytest.raises(BundleError, match="fails on 31 tokens"):
        warmed_up(broken(worker, run))


def test_windows_of_several_lengths_share_runs_where_padding_changes_nothing(worker: ToyWorker) -> None:
    def run(_: Any, mask: Any) -> Any:
        return np.repeat(mask.sum(axis=1, keepdims=True), 9, axis=1).astype(np.float32)

    model = broken(worker, run)
    assert not model.inference.mixed
    assert warmed_up(model).mixed


def test_they_do_not_where_a_single_bit_changes_at_one_length(worker: ToyWorker) -> None:
    def run(ids: Any, mask: Any) -> Any:
        logits = np.ones((len(ids), 9), np.float32)
        if ids.shape[1] > mask.sum() == 31:
            logits[0, 3] = np.nextafter(np.float32(1), np.float32(2))
        return logits

    assert not warmed_up(broken(worker, run)).mixed


def test_a_canary_with_another_verdict_is_named_with_both(worker: ToyWorker) -> None:
    canaries = (Canary(text="hello friend", verdict=Verdict.ALLOW), Canary(text="you idiot", verdict=Verdict.REVIEW))
    with pytest.raises(BundleError, match="canary 'you idiot' got block, expected review"):
        proven(altered(worker, canaries=canaries))


def test_a_canary_of_a_topic_expects_the_label_with_the_highest_score(worker: ToyWorker) -> None:
    right = (Canary(text="you idiot", label="toxicity"), Canary(text="casino", label="spam"))
    proven(altered(worker, canaries=right), policies={})
    with pytest.raises(BundleError, match="canary 'casino' got spam, expected insult"):
        proven(altered(worker, canaries=(right[0], Canary(text="casino", label="insult"))), policies={})


def test_a_model_without_a_number_for_a_canary_is_not_served(worker: ToyWorker) -> None:
    nothing = broken(worker, lambda ids, _: np.full((len(ids), 9), np.nan, np.float32))
    with pytest.raises(BundleError, match="fails on the canary 'hello friend'"):
        proven(nothing)


def test_canaries_are_normalised_as_jobs_are(worker: ToyWorker) -> None:
    disguised = (Canary(text="you ｉｄｉｏｔ", verdict=Verdict.BLOCK), Canary(text="hello", verdict=Verdict.ALLOW))
    proven(altered(worker, canaries=disguised))


def test_a_long_canary_is_cut_and_folded_as_jobs_are(worker: ToyWorker) -> None:
    long_text = (Canary(text="filler " * 200 + "kill", verdict=Verdict.BLOCK), Canary(text="hello", verdict=Verdict.ALLOW))
    proven(altered(worker, canaries=long_text))


def test_a_loosened_default_policy_stops_no_worker(worker: ToyWorker, tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('name = "default"\nrelease = "2"\n[labels]\nspam = { review = 0.9 }\n')
    proven(worker, policies=load_policies(tmp_path))


def test_without_a_policy_that_knows_its_labels_a_models_verdicts_are_not_compared_but_it_must_run(
    worker: ToyWorker, caplog: pytest.LogCaptureFixture
) -> None:
    labels = (worker.bundle.manifest.labels[0].model_copy(update={"name": "own"}), *worker.bundle.manifest.labels[1:])
    wrong = altered(worker, labels=labels, canaries=(Canary(text="hello", verdict=Verdict.BLOCK),) * 2)
    with caplog.at_level(logging.WARNING):
        proven(wrong, policies={})
    assert "no policy is called default" in caplog.text
