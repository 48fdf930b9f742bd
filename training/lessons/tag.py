"""Learns a tag for each word, such as the names in a sentence (BIO tags): a word's first token carries it."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.fit.loop import Learner
from training.fit.order import plain_order
from training.fit.team import Rows, Team
from training.losses import IGNORED, single_label_loss
from training.model import Model
from training.padding import filled, padded
from training.run_file import Run

OUTSIDE: Final = "O"
Entity = tuple[int, int, str]
"""First word, word after the last, kind."""


class TagLearner(Learner):
    """A token classifier with its loss."""

    def __init__(self, model: Model, smoothing: float) -> None:
        super().__init__()
        self.model = model
        self._smoothing = smoothing

    def forward(self, input_ids: Tensor, attention_mask: Tensor, tags: Tensor) -> Tensor:
        """The summed loss [1]; `tags` [rows, tokens], IGNORED where a token is not the first of its word."""
        return single_label_loss(self.model(input_ids, attention_mask).float(), tags, self._smoothing)[None]


class Tagging:
    """The lesson; see `training.fit.loop.Lesson`. Rows are examples with `words` and `tags`."""

    def __init__(
        self,
        model: Model,
        names: Sequence[str],
        run: Run,
        train: Sequence[dict[str, Any]],
        validation: Sequence[dict[str, Any]],
        *,
        tokenizer: Tokenizer,
        team: Team,
    ) -> None:
        self.learner = TagLearner(model, run.label_smoothing)
        self.weights = torch.ones(1)
        self._names, self._run, self._team = list(names), run, team
        self._train = [_encoded(row, self._names, tokenizer, run.tokens_max) for row in train]
        self._validation = [_encoded(row, self._names, tokenizer, run.tokens_max) for row in validation]
        self._pad = model.encoder.config.pad_token_id

    def order(self, epoch: int) -> list[Rows]:
        """Shuffled rows."""
        lengths = np.array([len(ids) for ids, _ in self._train], np.intp)
        return plain_order(lengths, self._run.rows_per_step, self._run.seed, epoch)

    def batch(self, rows: Rows, step: int) -> dict[str, Tensor]:  # noqa: ARG002 (the lesson's signature)
        """Ids, mask and tags."""
        return self._tensors([self._train[i] for i in rows])

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """Tagged words."""
        return (batch["tags"] != IGNORED).sum().float()[None]

    def validate(self) -> dict[str, float]:
        """Loss a word, accuracy of tags, F1 of whole entities."""
        losses, words, right = 0.0, 0, 0
        true, found = list[set[Entity]](), list[set[Entity]]()
        for start in range(0, len(self._validation), self._run.rows_per_step):
            batch = self._tensors(self._validation[start : start + self._run.rows_per_step])
            tags = batch.pop("tags")
            with torch.inference_mode():
                logits = self.learner.model(**{name: value.to(self._team.device) for name, value in batch.items()}).float().cpu()
            losses += float(single_label_loss(logits, tags))
            guess, known = logits.argmax(-1), tags != IGNORED
            words, right = words + int(known.sum()), right + int((guess == tags)[known].sum())
            true += [self._entities(row[own]) for row, own in zip(tags, known, strict=True)]
            found += [self._entities(row[own]) for row, own in zip(guess, known, strict=True)]
        return {"loss": losses / words, "accuracy": right / words, "f1": entity_f1(true, found)} if words else {}

    def _tensors(self, rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, Tensor]:
        return padded([ids for ids, _ in rows], self._pad) | {"tags": filled([tags for _, tags in rows], IGNORED)}

    def _entities(self, tags: Tensor) -> set[Entity]:
        return set(entities([self._names[tag] for tag in tags.tolist()]))


def _encoded(row: dict[str, Any], names: list[str], tokenizer: Tokenizer, tokens_max: int) -> tuple[list[int], list[int]]:
    """Framed ids, and the tag of each: of a word's first token, else IGNORED. What does not fit is left out."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens_max)
    encoding = tokenizer.encode(row["words"], is_pretokenized=True)
    tags, before = [], None
    for word in encoding.word_ids:
        first = word is not None and word != before
        tags.append(names.index(row["tags"][word]) if first and row["tags"][word] in names else IGNORED)
        before = word
    return encoding.ids, tags


def entities(tags: Sequence[str]) -> Iterator[Entity]:
    """Entities of BIO tags, as CoNLL counts them: one begins at B-, or at an I- that continues nothing of its kind."""
    begin, kind = 0, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, own = tag.partition("-")
        if kind and (prefix != "I" or own != kind):
            yield begin, place, kind
            kind = ""
        if tag != OUTSIDE and not kind:
            begin, kind = place, own


def entity_f1(true: Sequence[set[Entity]], found: Sequence[set[Entity]]) -> float:
    """F1 over all entities of all sentences; 0 where nothing is found."""
    hits = sum(len(a & b) for a, b in zip(true, found, strict=True))
    total = sum(map(len, true)) + sum(map(len, found))
    return 2 * hits / total if total else 0.0
