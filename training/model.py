"""One BERT-like encoder, cut to some of its layers, with one linear head: over the mean of its token vectors, or over each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.utils import logging

from schemas.errors import ConfigurationError
from training.data_card import Task
from training.dropout import cheapen

CONFIG: Final = "config.json"
TOKENIZER: Final = "tokenizer.json"
_OWN_NAMES: Final = {r"^encoder\.(embeddings|encoder)\.": r"\1."}
"""What `Model` calls the weights of its encoder, and what the encoder does: a finished run serves as a base."""


class Model(nn.Module):
    """An encoder and a head with `outputs` outputs."""

    encoder: Any

    def __init__(self, encoder: Any, outputs: int, dropout: float = 0.1) -> None:  # noqa: ANN401 (transformers is untyped)
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.config.hidden_size, outputs)

    def vectors(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token vectors [rows, tokens, width] of `input_ids` and `attention_mask` [rows, tokens]."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # type: ignore[no-any-return]


class Classifier(Model):
    """Logits of whole texts: of independent labels (sigmoid) or of one class among several (softmax)."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits [rows, outputs]."""
        hidden = self.vectors(input_ids, attention_mask)
        weights = attention_mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * weights).sum(1) / weights.sum(1)
        return self.head(self.dropout(mean))  # type: ignore[no-any-return]


class TokenClassifier(Model):
    """Logits of each token: of its tag, or of being the begin and the end of an answer."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits [rows, tokens, outputs]."""
        return self.head(self.dropout(self.vectors(input_ids, attention_mask)))  # type: ignore[no-any-return]


KINDS: Final[dict[Task, type[Model]]] = {
    "multi_label": Classifier,
    "single_label": Classifier,
    "token": TokenClassifier,
    "answer": TokenClassifier,
}


def from_pretrained(
    base: str | Path,
    layers: Sequence[int],
    outputs: int,
    task: Task = "multi_label",
    *,
    dropout: float = 0.1,
    attention_dropout: float | None = None,
) -> Model:
    """A fresh head on the chosen `layers` (none: all), counted from 0, of the encoder at `base`, a folder or a hub name.

    The folder may also be that of a finished run. `dropout` holds within the layers and before the head, and for attention
    weights where they have no rate of their own.
    """
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # of reading one file
    rates = {
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout if attention_dropout is None else attention_dropout,
    }
    attention = "sdpa" if torch.cuda.is_available() else "eager"  # fused, its gradients take twice as long on a CPU
    encoder = AutoModel.from_pretrained(
        base, add_pooling_layer=False, dtype=torch.float32, attn_implementation=attention, key_mapping=_OWN_NAMES, **rates
    )
    if layers:
        depth = len(encoder.encoder.layer)
        if max(layers) >= depth or min(layers) < 0:
            raise ConfigurationError(f"layers {list(layers)}: the base encoder has {depth}, counted from 0")
        keep_layers(encoder, layers)
    model = KINDS[task](encoder, outputs, dropout)
    cheapen(model)
    return model


def keep_layers(encoder: Any, places: Sequence[int]) -> None:  # noqa: ANN401 (transformers is untyped)
    """Cut `encoder` to its layers at `places`, in that order."""
    encoder.encoder.layer = nn.ModuleList(encoder.encoder.layer[place] for place in places)
    encoder.config.num_hidden_layers = len(places)


def from_config(folder: Path, outputs: int, task: Task) -> Model:
    """The same shape with random weights, from the encoder's `config.json` in `folder`."""
    config = AutoConfig.from_pretrained(folder)
    encoder = AutoModel.from_config(config, add_pooling_layer=False)  # type: ignore[no-untyped-call]
    return KINDS[task](encoder, outputs)


def drop_layers(model: Model, chance: float) -> None:
    """From now on, each layer is skipped with that chance in training (stochastic depth, Huang et al., 2016).

    Its gradients are zero then, rather than missing, which several processes could not agree on.
    """

    def skip(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if not layer.training:
            return output
        kept = (torch.rand((), device=output.device) >= chance).to(output.dtype)
        return inputs[0] + kept * (output - inputs[0])

    if chance:
        for layer in model.encoder.encoder.layer:
            layer.register_forward_hook(skip)
