"""The file of a fine-tuning run, TOML or YAML: everything that decides what comes out, next to the data and the base encoder."""

import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from schemas.errors import ConfigurationError
from training.fit.plan import Plan, Share

Whole = TypeVar("Whole", bound=BaseModel)


class Run(Plan):
    """How to fine-tune. `training/runs` has some."""

    base_model: str = Field(default="", description="What the base encoder is called, for the card; by default its folder.")
    layers: tuple[int, ...] = Field(default=(), description="Which of the encoder's layers to keep, counted from 0; none: all.")
    tokens_max: Annotated[int, Field(ge=8, le=512)] = Field(default=128, description="Of one window, special tokens included.")
    dropout: Share = Field(default=0.1, description="Within the layers and before the head.")
    attention_dropout: Share | None = Field(default=None, description="Of attention weights; by default as `dropout`.")
    layer_drop: Share = Field(default=0.0, description="Chance of a layer to be skipped by a step.")
    label_smoothing: Share = 0.0
    balance: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.0, description="0: rows as they are; 1: every label equally often."
    )
    repeats_max: Annotated[float, Field(ge=1)] = Field(default=8.0, description="How often balance repeats a row, at most.")
    rare_labels: tuple[str, ...] = Field(default=(), description="Rows that carry one of these come `rare_repeats` times.")
    rare_repeats: Annotated[float, Field(ge=1)] = 1.0
    set_repeats: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default={}, description="How often rows of a data set come, where not once; 0.5: every other epoch, by chance."
    )
    hidden_rows: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Rows made by hiding a text with the first label in harmless ones; half as many are harmless throughout.",
    )
    spliced_rows: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Rows of the beginning of one text and the end of another, which the teachers alone judge."
    )
    validation_rows: Annotated[int, Field(ge=0)] = Field(default=5000, description="Looked at in one validation, at most.")
    teacher_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Of the teachers' scores, beside the labels."
    )
    trusted_sets: tuple[str, ...] = Field(
        default=(), description="Data sets that know better than the teachers, who judge there only what is unknown."
    )

    @property
    def sets(self) -> frozenset[str]:
        """The data sets that it names."""
        return frozenset({*self.set_repeats, *self.trusted_sets})


def load_config(file: Path, kind: type[Whole]) -> Whole:
    """What `file` says; raises ConfigurationError that names the field."""
    try:
        text = file.read_text("utf-8")
        return kind.model_validate(yaml.safe_load(text) if file.suffix in {".yaml", ".yml"} else tomllib.loads(text))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, yaml.YAMLError, ValidationError) as error:
        raise ConfigurationError(f"run file {file}: {error}") from error


def load_run(file: Path) -> Run:
    """The fine-tuning run in `file`; raises ConfigurationError."""
    return load_config(file, Run)
