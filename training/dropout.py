"""Dropout at an eighth of its cost on a CPU: a 64-bit random number decides for eight values; PyTorch draws one for each."""

from typing import Final

import torch
from torch import Tensor, nn

LEVELS: Final = 256
"""A byte decides, so the rate is a whole number of 256ths."""
_BYTES: Final = 8
_LEAST: Final = -(1 << 63)


class ByteDropout(nn.Dropout):
    """Sets values to zero with a chance of `p`, to the nearest 256th, and scales the others, in training alone.

    It draws from PyTorch's own generator. On a GPU PyTorch's dropout is as fast and is taken.
    """

    def forward(self, values: Tensor) -> Tensor:
        """`values`, some of them zero."""
        zeros = round(self.p * LEVELS)
        if not self.training or values.device.type != "cpu" or not 0 < zeros < LEVELS:
            return super().forward(values)
        drawn = torch.empty(-(-values.numel() // _BYTES), dtype=torch.int64).random_(_LEAST, None)
        kept = drawn.view(torch.uint8)[: values.numel()].view(values.shape) >= zeros
        return values * (kept.to(values.dtype) * (LEVELS / (LEVELS - zeros)))


def cheapen(model: nn.Module) -> None:
    """Put it in place of every dropout within `model`."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, ByteDropout(child.p).train(child.training))
