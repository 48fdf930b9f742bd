"""Writes a bundle: graphs, tokenizer, and a manifest that tells what they are; checks it before anyone can serve it."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from tokenizers import Tokenizer

from pipeline.text.language import UNDETECTED
from schemas.bundles import MANIFEST_NAME, BundleManifest, Canary, DataSource, LabelSpec, ModelFile, TokenizerSpec, WindowSpec
from schemas.codes import Task
from schemas.errors import BundleError
from training.data_card import DataCard
from training.export.canaries import MODERATION, canaries_of
from training.export.graph import classifier_graph
from training.export.linear import Float, Int8, Int8Table, Linear, Weights
from training.export.parity import Precision, check, measure, torch_scores
from training.export.spans import Scales, fixed_spans, measure_spans
from training.made import Made, now, rounded
from training.model import TOKENIZER, Model
from training.rows import Split
from training.served import Served
from training.table import Table

PARITY_TEXTS, SPAN_TEXTS = 1000, 400
OVERLAP: Final = 32
"""Tokens that neighbouring windows share: a sentence that one window cuts stands whole in the next."""
LANGUAGE_SHARE_MIN: Final = 0.05
"""A language of fewer training rows is not claimed."""
SPECIAL: Final = {"begin_id": ("<s>", "[CLS]"), "end_id": ("</s>", "[SEP]"), "pad_id": ("<pad>", "[PAD]")}
"""The tokens that frame and pad a window, by what tokenizers call them."""
Figures = dict[str, dict[str, float]]


def refuse_unservable(model: Model, made: Made) -> None:
    """Raises BundleError for a model that workers could not serve, or that the graph is not written for."""
    config = model.encoder.config
    if made.task not in {"multi_label", "single_label"}:
        raise BundleError(f"a model of task {made.task} cannot be served: workers fold scores of whole texts")
    if config.model_type != "bert" or config.hidden_act != "gelu":
        raise BundleError(f"the graph is for BERT with gelu, and this is {config.model_type} with {config.hidden_act}")


class Exporter:
    """Writes one bundle into the empty `folder`, whose name is the bundle's."""

    def __init__(self, model: Model, made: Made, card: DataCard, table: Table, *, folder: Path, release: str) -> None:
        config = model.encoder.config
        self._model, self._made, self._card, self._table = model, made, card, table
        self._folder, self._release = folder, release
        self._shape = {"heads": config.num_attention_heads, "epsilon": config.layer_norm_eps}
        self._weights: Weights = {name: value.numpy().astype(np.float32) for name, value in model.state_dict().items()}
        self._head: Literal["sigmoid", "softmax"] = "softmax" if made.task == "single_label" else "sigmoid"

    def write(
        self, tokenizer: Path, precisions: Sequence[Precision], scales: Scales, training: Sequence[dict[str, Any]] = ()
    ) -> Figures:
        """Write and check; returns what was found of each graph. Raises BundleError beyond the limits.

        `training` tells of the runs that made the model.
        """
        shutil.copy(tokenizer, self._folder / TOKENIZER)
        served = self._served("exact", Float())
        texts = [text for text in self._sample(PARITY_TEXTS, "validation", "train") if len(served.windows([text])[0]) == 1]
        windows = [text[0] for text in served.windows(texts)]
        expected = torch_scores(self._model, windows, self._head)
        spans = measure_spans(self._graph(Float()), [text[0] for text in served.windows(self._sample(SPAN_TEXTS, "train"))])
        kinds: dict[Precision, Linear] = {"fp32": Float(), "fp16": Float(np.float16), "int8": Int8(fixed_spans(spans, scales))}
        found = {precision: measure(self._served(precision, kinds[precision]), expected, texts) for precision in precisions}
        figures = {str(precision): rounded(parity._asdict()) for precision, parity in found.items()}
        if "int8" in precisions:
            alone = np.abs(self._served("exact", Int8Table()).raw_scores(texts) - expected)
            figures["embedding table of int8 alone"] = rounded({"mean": alone.mean(), "largest": alone.max()})
        for precision, parity in found.items():
            check(precision, parity)
        (self._folder / _name("exact")).unlink()
        self._write_manifest(
            [self._file(precision, parity.largest) for precision, parity in found.items()],
            canaries_of(self._card, self._rows_of(texts), expected),
            {"export": figures, "training": list(training)},
        )
        return figures

    def _graph(self, linear: Linear) -> onnx.ModelProto:
        return classifier_graph(self._weights, linear=linear, **self._shape)

    def _served(self, name: str, linear: Linear) -> Served:
        """The bundle with this graph alone, as a worker would run it."""
        onnx.save(self._graph(linear), self._folder / _name(name))
        self._write_manifest([self._file(name, 0)], MODERATION, {})
        return Served(self._folder)

    def _file(self, name: str, parity_max: float) -> ModelFile:
        precision: Any = "fp32" if name == "exact" else name
        return ModelFile(precision=precision, file=_name(name), sha256=sha256(self._folder / _name(name)), parity_max=parity_max)

    def _write_manifest(self, files: Sequence[ModelFile], canaries: tuple[Canary, ...], metrics: dict[str, Any]) -> None:
        manifest = BundleManifest(
            name=self._folder.name,
            release=self._release,
            task=Task.MODERATION,
            languages=_languages(self._card),
            head=self._head,
            labels=_labels(self._card, self._head),
            windows=WindowSpec(tokens_max=self._made.run.tokens_max, overlap=min(OVERLAP, (self._made.run.tokens_max - 2) // 4)),
            tokenizer=_tokenizer(self._folder / TOKENIZER),
            models=tuple(files),
            canaries=canaries,
            base_model=self._made.base_model,
            licence="Apache-2.0",
            data=_data(self._card),
            metrics=metrics,
            created_at=now(),
        )
        (self._folder / MANIFEST_NAME).write_text(manifest.model_dump_json(indent=2) + "\n", "utf-8")

    def _rows_of(self, texts: Sequence[str]) -> Table:
        place = {text: row for row, text in enumerate(self._table.texts)}
        return self._table.take([place[text] for text in texts])

    def _sample(self, count: int, *splits: Split) -> list[str]:
        """`count` texts at most, of the first split, then of the next, drawn with a fixed seed."""
        found: list[str] = []
        for split in splits:
            texts = self._table.where(split=split).texts
            found += [texts[i] for i in np.random.default_rng(11).permutation(len(texts))]
        return found[:count]


def _name(precision: str) -> str:
    return f"model.{precision}.onnx"


def _languages(card: DataCard) -> tuple[str, ...]:
    trained = {language: rows for language, rows in card.languages.get("train", {}).items() if language != UNDETECTED}
    total = sum(trained.values())
    return tuple(sorted(name for name, rows in trained.items() if rows >= LANGUAGE_SHARE_MIN * total)) or (UNDETECTED,)


def _labels(card: DataCard, head: str) -> tuple[LabelSpec, ...]:
    """A text is as bad as its worst window; a topic is what most of its windows are about."""
    fold: Final = "mean" if head == "softmax" else "corrected_max"
    return tuple(LabelSpec(name=one.name, description=one.description, fold=fold, grade=one.grade) for one in card.labels)


def _data(card: DataCard) -> tuple[DataSource, ...]:
    return tuple(
        DataSource(name=source.name, licence=source.licence, home=source.home, rows=source.rows["train"])
        for source in card.sources
        if source.rows["train"]
    )


def _tokenizer(file: Path) -> TokenizerSpec:
    content = json.loads(file.read_text("utf-8"))
    special = {token["content"]: token["id"] for token in content["added_tokens"]}
    ids = {place: next((special[name] for name in names if name in special), None) for place, names in SPECIAL.items()}
    if missing := sorted(place for place, number in ids.items() if number is None):
        raise BundleError(f"{file}: no token for {', '.join(missing)}; known names are {SPECIAL}")
    size = Tokenizer.from_file(str(file)).get_vocab_size()
    return TokenizerSpec.model_validate({"sha256": sha256(file), "vocabulary_size": size, **ids})


def sha256(file: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
