"""The shipped model on this machine: what a text scores does not depend on what shares its run."""

import json
from pathlib import Path

import numpy as np

from benchmarks.support.texts import windows_of
from pipeline.bundles import open_bundle
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.settings import Settings
from workers.infer import Inference
from workers.prove import warm_up
from workers.session import open_session

ROOT = Path(__file__).resolve().parents[2]
TEXTS = 120


def test_a_window_has_the_same_logits_alone_and_in_runs_of_several_lengths() -> None:
    bundle = open_bundle(ROOT / "models" / "moderation-en-zh")
    spec = bundle.manifest
    session = open_session(bundle, Settings(worker_provider="cpu", worker_threads=1))
    inference = Inference(session.run, labels=len(spec.labels), pad_id=spec.tokenizer.pad_id, tokens_max=512, model=spec.name)
    lines = (ROOT / "examples" / "comments.jsonl").read_text("utf-8").splitlines()[:TEXTS]
    windows = [window for text in windows_of([json.loads(line)["text"] for line in lines], bundle) for window in text]
    alone = np.concatenate([inference.logits([window]) for window in windows])
    warm_up(inference, bundle, Tokenizer(bundle))
    before = inference.runs
    assert np.array_equal(inference.logits(windows), alone)
    lengths = len({len(window) for window in windows})
    assert (inference.runs - before < lengths) is inference.mixed
