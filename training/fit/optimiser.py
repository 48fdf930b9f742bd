"""AdamW with a rate for each part of the model, and weight decay where it belongs."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn

from training.fit.plan import Plan

HEAD_FACTOR: Final = 10
"""A fresh head learns so much faster than the layers that are pretrained."""
_MATRIX: Final = 2
"""Weights of fewer dimensions are biases and norms: decay would only pull them out of place."""


def optimiser_of(model: nn.Module, plan: Plan) -> torch.optim.AdamW:
    """AdamW over the weights of `model` that learn."""
    return torch.optim.AdamW(list(_groups(model, plan)), lr=plan.learning_rate, fused=True)


def _groups(model: nn.Module, plan: Plan) -> Iterator[dict[str, Any]]:
    rates = {
        "embeddings": plan.embedding_learning_rate or plan.learning_rate,
        "head": plan.head_learning_rate or HEAD_FACTOR * plan.learning_rate,
        "layers": plan.learning_rate,
    }
    weights = [(_part(name), weight) for name, weight in model.named_parameters() if weight.requires_grad]
    for part, rate in rates.items():
        for decayed in (True, False):
            chosen = [weight for own, weight in weights if own == part and (weight.dim() >= _MATRIX) == decayed]
            if chosen:
                yield {"params": chosen, "lr": rate, "weight_decay": plan.weight_decay if decayed else 0.0}


def _part(name: str) -> str:
    """The part a weight belongs to, by its name in the model."""
    steps = name.split(".")
    if "embeddings" in steps:
        return "embeddings"
    return "head" if "head" in steps else "layers"
