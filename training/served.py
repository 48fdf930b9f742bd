"""Scores texts with a bundle exactly as a worker does: the same normaliser, tokenizer, windows, planner, session and folding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from pipeline.bundles import Bundle, open_bundle
from pipeline.decide import calibrate
from pipeline.preprocess.tokenise import Tokenizer, cut_windows
from pipeline.settings import Settings
from pipeline.text.normalise import normalise
from schemas.bundles import MANIFEST_NAME, BundleManifest
from workers.fold import Floats, fold_all, probabilities
from workers.infer import Inference, Window
from workers.session import open_session

BATCH_TOKENS = 1024
"""As a worker's default: rows times longest row of one run."""
CHUNK, CHUNKS_SHOWN = 1000, 5
"""Texts scored in one go, and from how many goes on a bar shows them."""


class Served:
    """A bundle, open and ready."""

    def __init__(self, folder: Path, precision: Literal["auto", "fp32", "fp16", "int8"] = "auto") -> None:
        self.bundle: Bundle = open_bundle(folder)
        settings = Settings(worker_provider="cpu", worker_precision=precision)
        self.session = open_session(self.bundle, settings)
        spec = self.bundle.manifest
        self._tokenizer = Tokenizer(self.bundle)
        self._inference = Inference(
            self.session.run,
            labels=len(spec.labels),
            pad_id=spec.tokenizer.pad_id,
            tokens_max=BATCH_TOKENS,
            model=spec.name,
            at_once=self.session.at_once,
        )

    def windows(self, texts: Sequence[str]) -> list[list[Window]]:
        """The token windows of each text."""
        spec = self.bundle.manifest
        ids = self._tokenizer.encode_batch([normalise(text).text for text in texts])
        return [cut_windows(one, spec.windows, spec.tokenizer.begin_id, spec.tokenizer.end_id) for one in ids]

    def raw_scores(self, texts: Sequence[str]) -> Floats:
        """Raw scores [texts, labels], before calibration."""
        spec, windows = self.bundle.manifest, self.windows(texts)
        scores = probabilities(self._inference.logits([row for text in windows for row in text]), spec.head)
        return fold_all(scores, [[len(row) for row in text] for text in windows], spec.labels)

    def scores(self, texts: Sequence[str]) -> Floats:
        """Calibrated scores [texts, labels], as policies see them; many texts show how far they are."""
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        bar = tqdm(chunks, desc="score", unit=" thousand texts", disable=len(chunks) < CHUNKS_SHOWN, mininterval=5)
        return calibrate(np.concatenate([self.raw_scores(chunk) for chunk in bar]), self.bundle.manifest.labels)


def rewrite_manifest(folder: Path, **changes: object) -> BundleManifest:
    """Give the bundle's manifest other values; returns the new one, which is checked before it is written."""
    before = open_bundle(folder).manifest
    manifest = BundleManifest.model_validate(before.model_copy(update=changes).model_dump())
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")
    return manifest
