"""Rows of token ids as one tensor."""

from collections.abc import Sequence

import torch
from torch import Tensor


def padded(rows: Sequence[Sequence[int]], pad_id: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, int64 [rows, tokens], as long as the longest row."""
    ids = filled(rows, pad_id)
    mask = filled([[1] * len(row) for row in rows], 0)
    return {"input_ids": ids, "attention_mask": mask}


def filled(rows: Sequence[Sequence[int]], rest: int) -> Tensor:
    """The rows as int64 [rows, longest], `rest` where a row is over."""
    tensor = torch.full((len(rows), max(map(len, rows))), rest)
    for number, row in enumerate(rows):
        tensor[number, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return tensor
