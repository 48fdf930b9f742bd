"""Learns to find the answer to a question in a text: where it begins and where it ends."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.fit.loop import Learner
from training.fit.order import plain_order
from training.fit.team import Rows, Team
from training.losses import IGNORED, answer_logits, answer_loss
from training.model import Model
from training.padding import filled, padded
from training.run_file import Run

ANSWER_TOKENS_MAX: Final = 30
"""Longest answer that is given."""
STRIDE: Final = 64
"""Tokens that neighbouring windows of a long text share."""
_CONTEXT: Final = 1
"""Number of the text's part in a window; the question is part 0."""
_UNITS: Final = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class _Window:
    """A question with one window of its text: ids, which of them are text, their places in it, and the answer's tokens."""

    ids: list[int]
    allowed: list[int]
    offsets: list[tuple[int, int]]
    place: tuple[int, int]
    example: int


class AnswerLearner(Learner):
    """A token classifier with two outputs, and its loss."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, allowed: Tensor, places: Tensor) -> Tensor:
        """The summed loss [1]."""
        return answer_loss(self.model(input_ids, attention_mask), allowed, places)[None]


class Answering:
    """The lesson; see `training.fit.loop.Lesson`. Rows are examples with `question`, `context` and `answers`."""

    def __init__(
        self,
        model: Model,
        run: Run,
        train: Sequence[dict[str, Any]],
        validation: Sequence[dict[str, Any]],
        *,
        tokenizer: Tokenizer,
        team: Team,
    ) -> None:
        self.learner = AnswerLearner(model)
        self.weights = torch.ones(1)
        self._run, self._team = run, team
        found = [window for number, row in enumerate(train) for window in _windows(row, number, tokenizer, run.tokens_max)]
        self._train = [window for window in found if window.place[0] != IGNORED]
        self._examples = list(validation)
        self._validation = [
            window for number, row in enumerate(validation) for window in _windows(row, number, tokenizer, run.tokens_max)
        ]
        self._pad = model.encoder.config.pad_token_id

    def order(self, epoch: int) -> list[Rows]:
        """Shuffled windows that hold their answer."""
        lengths = np.array([len(window.ids) for window in self._train], np.intp)
        return plain_order(lengths, self._run.rows_per_step, self._run.seed, epoch)

    def batch(self, rows: Rows, step: int) -> dict[str, Tensor]:  # noqa: ARG002 (the lesson's signature)
        """Ids, mask, where an answer can be, and where it is."""
        return self._tensors([self._train[i] for i in rows])

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """Places: two a row."""
        return (batch["places"] != IGNORED).sum().float()[None]

    def validate(self) -> dict[str, float]:
        """Loss, exact match (as accuracy) and F1 of the best answer over all windows of a text."""
        if not self._validation:
            return {}
        losses, places = 0.0, 0
        best: dict[int, tuple[float, str]] = {}
        for start in range(0, len(self._validation), self._run.rows_per_step):
            chosen = self._validation[start : start + self._run.rows_per_step]
            batch = self._tensors(chosen)
            logits = self._logits(batch)
            losses += float(answer_loss(logits, batch["allowed"], batch["places"]))
            places += int((batch["places"] != IGNORED).sum())
            for window, row in zip(chosen, answer_logits(logits, batch["allowed"]), strict=True):
                context = self._examples[window.example]["context"]
                best[window.example] = max(best.get(window.example, (-np.inf, "")), best_answer(row, window.offsets, context))
        return {"loss": losses / max(1, places), **self._quality(best)}

    def _logits(self, batch: dict[str, Tensor]) -> Tensor:
        device = self._team.device
        with torch.inference_mode():
            logits: Tensor = self.learner.model(batch["input_ids"].to(device), batch["attention_mask"].to(device))
        return logits.float().cpu()

    def _quality(self, best: dict[int, tuple[float, str]]) -> dict[str, float]:
        pairs = [(text, [one["text"] for one in self._examples[number]["answers"]]) for number, (_, text) in best.items()]
        return {
            "accuracy": float(np.mean([max(units(text) == units(one) for one in true) for text, true in pairs])),
            "f1": float(np.mean([max(overlap(text, one) for one in true) for text, true in pairs])),
        }

    def _tensors(self, rows: Sequence[_Window]) -> dict[str, Tensor]:
        more = {"allowed": filled([row.allowed for row in rows], 0), "places": torch.tensor([row.place for row in rows])}
        return padded([row.ids for row in rows], self._pad) | more


def _windows(row: dict[str, Any], number: int, tokenizer: Tokenizer, tokens_max: int) -> list[_Window]:
    """The windows of one example; the place is IGNORED in those that do not hold the first answer whole."""
    tokenizer.no_padding()
    tokenizer.enable_truncation(tokens_max, stride=min(STRIDE, tokens_max // 4), strategy="only_second")
    encoding = tokenizer.encode(row["question"], row["context"])
    first = row["answers"][0]
    begin, end = first["start"], first["start"] + len(first["text"])
    return [_window(part, begin, end, number) for part in (encoding, *encoding.overflowing)]


def _window(encoding: Any, begin: int, end: int, number: int) -> _Window:  # noqa: ANN401 (the library has no type for it)
    allowed = [int(part == _CONTEXT) for part in encoding.sequence_ids]
    spans = list(zip(encoding.offsets, allowed, strict=True))
    firsts = [at for at, ((left, right), text) in enumerate(spans) if text and left <= begin < right]
    lasts = [at for at, ((left, right), text) in enumerate(spans) if text and left < end <= right]
    place = (firsts[0], lasts[-1]) if firsts and lasts else (IGNORED, IGNORED)
    return _Window(encoding.ids, allowed, encoding.offsets, place, number)


def best_answer(logits: Tensor, offsets: Sequence[tuple[int, int]], context: str) -> tuple[float, str]:
    """The likeliest answer of a window, and the sum of its logits [tokens, 2]; it has a length that answers have."""
    begins, ends = logits[: len(offsets), 0], logits[: len(offsets), 1]
    sums = begins[:, None] + ends[None, :]
    fits = torch.ones_like(sums).triu() * torch.ones_like(sums).tril(ANSWER_TOKENS_MAX - 1)
    place = int(sums.masked_fill(fits == 0, -1e12).argmax())
    first, last = divmod(place, len(offsets))
    return float(sums[first, last]), context[offsets[first][0] : offsets[last][1]]


def units(text: str) -> list[str]:
    """What answers are compared by: words, and Chinese characters one by one; neither case nor punctuation counts."""
    return _UNITS.findall(text.lower())


def overlap(found: str, true: str) -> float:
    """F1 of the units that both have."""
    a, b = Counter(units(found)), Counter(units(true))
    shared = sum((a & b).values())
    return 2 * shared / (a.total() + b.total()) if shared else 0.0
