"""The part of a run file that the loop reads: how long, how fast, how often."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from training.fit.precision import Wanted
from training.fit.schedules import Name

Share = Annotated[float, Field(ge=0, lt=1)]
Watched = Literal["loss", "accuracy", "f1", "auroc", "auprc"]


class Plan(BaseModel):
    """Everything that decides how weights change, next to the data and the model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: Annotated[float, Field(gt=0)] = 1.0
    rows_per_step: Annotated[int, Field(gt=0)] = Field(default=32, description="Of all processes together.")
    accumulate: Annotated[int, Field(gt=0)] = Field(default=1, description="Pieces that a process works through for one step.")
    learning_rate: float = Field(default=1e-4, description="Of the layers, at its peak.")
    embedding_learning_rate: float | None = Field(default=None, description="By default as the layers.")
    head_learning_rate: float | None = Field(
        default=None, description="By default ten times the layers': it starts from nothing."
    )
    schedule: Name = "linear"
    warmup: Share = Field(default=0.06, description="Share of all steps over which the rate rises.")
    cycles: Annotated[int, Field(gt=0)] = Field(default=1, description="Of cosine_restarts.")
    weight_decay: float = 0.01
    clip: float = Field(default=1.0, description="Longest gradient, over all weights together.")
    bfloat16: Wanted = Field(default="auto", description="Matrix products only; weights and optimiser stay fp32.")
    validate_every: Annotated[int, Field(ge=0)] = Field(default=0, description="Steps; 0: once an epoch.")
    stop_after: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Stop after so many validations that were no better, and keep the best weights; 0: never."
    )
    watch: Watched = Field(default="loss", description="What has to get better.")
    seed: int = 1
