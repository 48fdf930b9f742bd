"""Your own data: a TOML file that names your files, your labels, and how the one becomes the other.

    name = "tickets"
    task = "multi_label"                     # or single_label, token, answer

    [[labels]]
    name = "complaint"
    description = "The writer is unhappy with us."

    [[sources]]
    name = "tickets"
    file = "tickets.csv"                     # .csv, .tsv, .jsonl; or folder = "texts": a folder or a file for each label
    text = "body"                            # the column of the text
    label = "kind"                           # a column that names labels, or columns = { complaint = "is_complaint" } of 0 and 1
    map = { Complaint = "complaint", Praise = [] }
    rows = 1200                              # checked against what is read

A value that `map` does not name is an error unless `skip` lists it. Labels that a source does not `known` stay unknown.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from schemas.base import Message
from schemas.errors import ConfigurationError
from training.data_card import LabelCard, Task

Share = Annotated[float, Field(gt=0, lt=0.5)]


class OwnSource(Message):
    """One file or folder of yours."""

    name: str
    file: str | None = None
    folder: str | None = None
    text: str = "text"
    label: str = "label"
    columns: dict[str, str] = Field(default_factory=dict, description="Label → column of 0 and 1; empty cells are unknown.")
    map: dict[str, str | tuple[str, ...]] = Field(default_factory=dict, description="Their value → our label or labels.")
    skip: tuple[str, ...] = Field(default=(), description="Values whose rows are left out.")
    separator: str | None = Field(default=None, description="What parts several values in one cell.")
    known: tuple[str, ...] | None = Field(default=None, description="Labels that this source tells of; by default all.")
    split: str | None = Field(default=None, description="train, validation or test; or the column that says so.")
    language: str = "und"
    licence: str = "your own"
    home: str = "your own"
    rows: int | None = Field(default=None, description="How many rows there must be.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.folder is None):
            raise ValueError("name a file or a folder, one of them")
        return self


class DataFile(Message):
    """All of it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    task: Task = "multi_label"
    labels: tuple[LabelCard, ...] = ()
    sources: tuple[OwnSource, ...] = Field(min_length=1)
    validation: Share = Field(default=0.1, description="Share of the texts without a split of their own, by hash.")
    test: Share = 0.1

    @property
    def names(self) -> tuple[str, ...]:
        """The labels' names."""
        return tuple(label.name for label in self.labels)

    @model_validator(mode="after")
    def _labels_known(self) -> Self:
        if self.task in ("multi_label", "single_label") and not self.labels:
            raise ValueError("name at least one label")
        for source in self.sources:
            if unknown := sorted(_named(source) - set(self.names)):
                raise ValueError(f"source {source.name}: no such label: {', '.join(unknown)}")
        return self


def _named(source: OwnSource) -> set[str]:
    mapped = [[value] if isinstance(value, str) else value for value in source.map.values()]
    return {name for names in mapped for name in names} | set(source.columns) | set(source.known or ())


def load_data_file(file: Path) -> DataFile:
    """The data file; raises ConfigurationError that names the field."""
    try:
        return DataFile.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigurationError(f"data file {file}: {error}") from error
