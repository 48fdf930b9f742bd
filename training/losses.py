"""Losses, each as a sum to be divided by a count: so that parts of a step add up to what the whole step would give."""

from typing import Final

import torch
from torch import Tensor, nn

IGNORED: Final = -100
"""A target that teaches nothing, as PyTorch marks it."""


def multi_label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Summed binary cross-entropy over known labels; `labels` [rows, labels] holds NaN where unknown.

    With `smoothing` s the targets are s / 2 and 1 - s / 2.
    """
    known = ~torch.isnan(labels)
    targets = torch.nan_to_num(labels) * (1 - smoothing) + smoothing / 2
    losses = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (losses * known).sum()


def single_label_loss(logits: Tensor, classes: Tensor, smoothing: float = 0.0) -> Tensor:
    """Summed cross-entropy; `logits` [..., classes], `classes` [...] of whole numbers, IGNORED ones left out."""
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), classes.flatten(), ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
    )


def soft_multi_label_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """Summed cross-entropy against a teacher's probabilities [rows, labels]: it has an opinion also where labels are unknown."""
    return nn.functional.binary_cross_entropy_with_logits(logits, scores, reduction="sum")


def soft_single_label_loss(logits: Tensor, scores: Tensor) -> Tensor:
    """The same where the probabilities of a row [rows, classes] sum to one."""
    return -(scores * torch.log_softmax(logits, -1)).sum()


def answer_loss(logits: Tensor, allowed: Tensor, places: Tensor) -> Tensor:
    """Summed cross-entropy of the begin and the end of an answer.

    `logits` [rows, tokens, 2]; `allowed` [rows, tokens] marks where an answer can be; `places` [rows, 2].
    """
    return single_label_loss(answer_logits(logits, allowed).transpose(1, 2), places)


def answer_logits(logits: Tensor, allowed: Tensor) -> Tensor:
    """`logits` [rows, tokens, 2] with places where no answer can be made impossible."""
    return logits.float().masked_fill(~allowed.bool().unsqueeze(-1), -1e9)
