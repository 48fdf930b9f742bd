"""Learns to tell hidden tokens (masked) or the next one (causal). Perplexity is e to the mean loss on held-out rows."""

import math
from typing import Any, Final

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from training.fit.loop import Learner
from training.fit.order import plain_order
from training.fit.team import Rows, Team
from training.losses import IGNORED, single_label_loss
from training.pretrain.blocks import Ids, token_id
from training.pretrain.config import Pretraining

KEPT, SWAPPED = 0.1, 0.1
"""Of the hidden tokens, the shares that stay as they are, and that become a random one (Devlin et al., 2019)."""
SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")


class MaskedLearner(Learner):
    """A BERT with a masked-token head: scores of the hidden places only, as there are many pieces to choose from."""

    model: Any

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (transformers is untyped)
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        """The summed loss [1]; `targets` [rows, tokens], IGNORED where nothing is hidden."""
        hidden = self.model.bert(input_ids=input_ids).last_hidden_state
        asked = targets != IGNORED
        return single_label_loss(self.model.cls(hidden[asked]).float(), targets[asked])[None]


class CausalLearner(Learner):
    """A GPT: each token is told from those before it."""

    model: Any

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (transformers is untyped)
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        """The summed loss [1]; `targets` are the tokens one place further on."""
        return single_label_loss(self.model(input_ids=input_ids).logits.float(), targets)[None]


class LanguageModelling:
    """The lesson; see `training.fit.loop.Lesson`. `held` are the rows that perplexity is measured on."""

    def __init__(self, model: Any, run: Pretraining, rows: Ids, held: Ids, *, tokenizer: Tokenizer, team: Team) -> None:  # noqa: ANN401
        self.learner: Learner = MaskedLearner(model) if run.objective == "masked" else CausalLearner(model)
        self.weights = torch.ones(1)
        self._run, self._team = run, team
        self._rows, self._held = rows, held[: run.validation_rows]
        self._size = tokenizer.get_vocab_size()
        self._mask = token_id(tokenizer, "<mask>")
        self._special = [number for name in SPECIAL if (number := tokenizer.token_to_id(name)) is not None]

    def order(self, epoch: int) -> list[Rows]:
        """Shuffled rows."""
        lengths = np.full(len(self._rows), self._run.tokens_max, np.intp)
        return plain_order(lengths, self._run.rows_per_step, self._run.seed, epoch)

    def batch(self, rows: Rows, step: int) -> dict[str, Tensor]:
        """Ids and targets."""
        return self._tensors(self._rows[rows], [(self._run.seed, step, int(row)) for row in rows])

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """Tokens that are asked for."""
        return (batch["targets"] != IGNORED).sum().float()[None]

    def validate(self) -> dict[str, float]:
        """Loss and perplexity."""
        total, count = 0.0, 0.0
        for start in range(0, len(self._held), self._run.rows_per_step):
            rows = self._held[start : start + self._run.rows_per_step]
            batch = self._tensors(rows, [(0, start + place) for place in range(len(rows))])
            count += float(self.counts(batch)[0])
            with torch.inference_mode():
                total += float(self.learner(**{name: value.to(self._team.device) for name, value in batch.items()})[0])
        return {"loss": total / count, "perplexity": math.exp(min(total / count, 50))} if count else {}

    def _tensors(self, rows: Ids, seeds: list[tuple[int, ...]]) -> dict[str, Tensor]:
        if self._run.objective == "causal":
            return {"input_ids": torch.from_numpy(rows[:, :-1]), "targets": torch.from_numpy(rows[:, 1:])}
        hidden = [self._hide(row, np.random.default_rng(seed)) for row, seed in zip(rows, seeds, strict=True)]
        return {
            "input_ids": torch.from_numpy(np.stack([ids for ids, _ in hidden])),
            "targets": torch.from_numpy(np.stack([targets for _, targets in hidden])),
        }

    def _hide(self, row: Ids, random: np.random.Generator) -> tuple[Ids, Ids]:
        """A row with some tokens hidden, and what they were; by a seed of its own, so that no other row matters."""
        asked = (random.random(len(row)) < self._run.mask_share) & ~np.isin(row, self._special)
        fate = random.random(len(row))
        ids = np.where(asked & (fate >= KEPT + SWAPPED), self._mask, row)
        ids = np.where(asked & (fate < SWAPPED), random.integers(len(SPECIAL), self._size, len(row)), ids)
        return ids, np.where(asked, row, IGNORED)
