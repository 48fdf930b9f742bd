"""A worker proves itself before it says that it is ready: every length runs, and every canary gets its verdict.

It also finds out whether padding changes a score here, which is up to the processor and ONNX Runtime's kernels for it.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from pipeline.bundles import Bundle
from pipeline.decide import calibrate, decide, highest
from pipeline.policies import LoadedPolicy, shipped_policy
from pipeline.preprocess.tokenise import Tokenizer, cut_windows
from pipeline.text.language import LanguageDetector
from pipeline.text.normalise import normalise
from schemas.errors import BundleError
from workers.fold import Floats, fold, probabilities
from workers.infer import Inference
from workers.plan import RUN_TOKENS, padded

_LOG = logging.getLogger(__name__)
DEFAULT_POLICY: Final = "default"


def warm_up(inference: Inference, bundle: Bundle, tokenizer: Tokenizer) -> None:
    """Run every length that serving will pad to, so that no job pays for it; raises BundleError where the model fails.

    Where no score changes by a bit with padding, windows of several lengths share runs from then on.
    """
    spec = bundle.manifest
    widest = int(padded([spec.windows.tokens_max], inference.buckets)[0])
    lengths = [*(size for size in inference.buckets if size < spec.windows.tokens_max), spec.windows.tokens_max]
    texts = [normalise(canary.text).text for canary in spec.canaries]
    ids = np.concatenate([*tokenizer.encode_batch(texts), [spec.tokenizer.end_id]])
    windows = [np.resize(ids, length) for length in lengths]
    alone = [inference.logits([window]) for window in windows]
    for window, logits in zip(windows, alone, strict=True):
        if not np.isfinite(logits).all():
            raise BundleError(f"model {spec.name}: it fails on {len(window)} tokens")
    inference.mixed = all(
        np.array_equal(inference.padded_logits(window, more), logits)
        for window, logits in zip(windows, alone, strict=True)
        for more in (1, RUN_TOKENS)
        if len(window) + more <= widest
    )
    _LOG.info("padding %s here", "changes no score" if inference.mixed else "changes scores: a run is of windows of one length")


def prove(inference: Inference, bundle: Bundle, tokenizer: Tokenizer, policies: Mapping[str, LoadedPolicy]) -> None:
    """Every canary gets its label, or its verdict under the default policy or the shipped one; raises BundleError where not.

    Operators change the default policy as they like: that alone says nothing against the model.
    """
    judging = _judging(bundle, policies)
    if not judging:
        _LOG.warning("no policy is called %s: canaries are scored, their verdicts not compared", DEFAULT_POLICY)
    spec, detector = bundle.manifest, LanguageDetector()
    for canary in spec.canaries:
        text = normalise(canary.text).text
        raw = _raw(text, inference, bundle, tokenizer)
        if not np.isfinite(raw).all():
            raise BundleError(f"model {spec.name}: it fails on the canary {canary.text!r}")
        found = [highest(raw, spec.labels)] if canary.label else _verdicts(raw, bundle, judging, detector.detect(text))
        expected = canary.label or canary.verdict
        if found and expected not in found:
            got = " and ".join(sorted(set(found)))
            raise BundleError(f"model {spec.name}: canary {canary.text!r} got {got}, expected {expected}")
    _LOG.info("%d canaries got what they should", len(spec.canaries))


def _judging(bundle: Bundle, policies: Mapping[str, LoadedPolicy]) -> list[LoadedPolicy]:
    """The default policy where there is one, and the shipped one where it knows all labels."""
    mine, shipped = policies.get(DEFAULT_POLICY), shipped_policy()
    knows = all(label.name in shipped.policy.labels for label in bundle.manifest.labels)
    return [*([mine] if mine else []), *([shipped] if knows else [])]


def _raw(text: str, inference: Inference, bundle: Bundle, tokenizer: Tokenizer) -> Floats:
    spec = bundle.manifest
    windows = cut_windows(tokenizer.encode_batch([text])[0], spec.windows, spec.tokenizer.begin_id, spec.tokenizer.end_id)
    scores = probabilities(inference.logits(windows), spec.head)
    return fold(scores, np.array([len(window) for window in windows]), spec.labels)


def _verdicts(raw: Floats, bundle: Bundle, judging: Collection[LoadedPolicy], language: str) -> list[str]:
    spec = bundle.manifest
    scores = calibrate(raw[None], spec.labels)[0]
    return [decide(raw, scores, spec.labels, loaded.policy, language)[0] for loaded in judging]
