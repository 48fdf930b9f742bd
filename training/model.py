"""The classifier: a BERT-like encoder cut to some of its layers, the mean of its token vectors, one linear head."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel


class Classifier(nn.Module):
    """Token ids to logits; labels are independent (sigmoid)."""

    encoder: Any

    def __init__(self, encoder: Any, labels: int, dropout: float = 0.1) -> None:  # noqa: ANN401 (transformers is untyped)
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """`input_ids` and `attention_mask` [rows, tokens] to logits [rows, labels]."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return self.head(self.dropout(mean))  # type: ignore[no-any-return]


def from_pretrained(base: str | Path, layers: Sequence[int], labels: int) -> Classifier:
    """A fresh head on the chosen `layers`, counted from 0, of the encoder at `base` (a folder or a hub name)."""
    encoder = AutoModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32)
    encoder.encoder.layer = nn.ModuleList(encoder.encoder.layer[index] for index in layers)
    encoder.config.num_hidden_layers = len(layers)
    return Classifier(encoder, labels)


def masked_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Binary cross-entropy over known labels only; `labels` [rows, labels] holds NaN where unknown, `weights` [labels]."""
    known = ~torch.isnan(labels)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, torch.nan_to_num(labels), reduction="none")
    return (losses * known * weights).sum() / (known * weights).sum().clamp(min=1)
