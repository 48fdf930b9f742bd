"""The file of a pretraining run: the shape of the model, and how it learns."""

from typing import Annotated, Literal

from pydantic import Field

from training.fit.plan import Plan, Share

Positive = Annotated[int, Field(gt=0)]


class Pretraining(Plan):
    """How to pretrain. `training/runs` has one for a CPU and one for a GPU of each kind."""

    objective: Literal["masked", "causal"]
    tokens_max: Annotated[int, Field(ge=8, le=8192)] = Field(default=128, description="Of one row, special tokens included.")
    width: Positive = Field(default=128, description="Of a token's vector; this and the next three: from scratch only.")
    layers: Positive = 4
    heads: Positive = 4
    positions_max: Positive = Field(default=512, description="Longest row the model can ever take.")
    dropout: Share = 0.1
    mask_share: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.15, description="Of tokens that are hidden.")
    validation_rows: Positive = Field(default=1000, description="Held-out rows that perplexity is measured on, at most.")
