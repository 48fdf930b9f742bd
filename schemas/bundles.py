"""`bundle.json`: the manifest of a model bundle, the only thing that passes from training to serving.

A bundle is a folder: `bundle.json`, `tokenizer.json`, one ONNX file a precision, `README.md` (the model card).
"""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from schemas.base import Message, Timestamp
from schemas.codes import Task, Verdict

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0, le=1)]
MANIFEST_NAME = "bundle.json"


def _absent(value: object) -> bool:
    """Left out where it is written: releases before the field came would refuse it."""
    return value is None


class Calibration(Message):
    """A monotone map from raw to calibrated score: straight lines between knots, flat outside them."""

    raw: tuple[Probability, ...] = Field(default=(0.0, 1.0), min_length=2, description="Raw scores, strictly rising.")
    calibrated: tuple[Probability, ...] = Field(
        default=(0.0, 1.0), min_length=2, description="Their calibrated scores, never falling."
    )

    @model_validator(mode="after")
    def _monotone(self) -> Self:
        if len(self.raw) != len(self.calibrated):
            raise ValueError("raw and calibrated must be equally long")
        if any(b <= a for a, b in pairwise(self.raw)) or any(b < a for a, b in pairwise(self.calibrated)):
            raise ValueError("raw must rise strictly and calibrated must never fall")
        return self


class LabelSpec(Message):
    """One output of the model, in the order of the logits."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    description: str
    fold: Literal["max", "corrected_max", "mean"] = Field(
        description="How windows of one text become one score: the largest; the largest with its odds divided by the number of "
        "windows, by 8 at most, since each is another chance to err; or the mean weighted by window length."
    )
    grade: Literal["strong", "fair", "weak", "experimental"] = Field(description="How far the training data carries this label.")
    calibration: Calibration = Calibration()


class WindowSpec(Message):
    """How a long text is cut: windows of at most `tokens_max` tokens, special tokens included, overlapping by `overlap`."""

    tokens_max: Annotated[int, Field(ge=8, le=8192)]
    overlap: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _advances(self) -> Self:
        if self.overlap > (self.tokens_max - 2) // 2:
            raise ValueError("overlap must leave at least half of a window for new tokens")
        return self


class TokenizerSpec(Message):
    """The tokenizer file and the ids that frame a window."""

    file: str = "tokenizer.json"
    sha256: Sha256 = Field(description="Checksum of the file; work batches name their tokenizer by it.")
    vocabulary_size: Annotated[int, Field(gt=0)]
    begin_id: int
    end_id: int
    pad_id: int


class ModelFile(Message):
    """One ONNX graph: int64 input_ids and attention_mask, both [rows, tokens]; float32 logits [rows, labels]."""

    precision: Literal["fp32", "fp16", "int8"]
    file: str
    sha256: Sha256
    parity_max: float = Field(ge=0, description="Largest change of a probability against PyTorch fp32 on the parity texts.")


class Canary(Message):
    """A text of which is known what the model makes of it; a worker that gets it wrong does not report ready."""

    text: str
    verdict: Verdict | None = Field(default=None, description="Under the default policy.", exclude_if=_absent)
    label: str | None = Field(
        default=None,
        description="The label with the highest raw score, where labels are topics and none asks for anything.",
        exclude_if=_absent,
    )

    @model_validator(mode="after")
    def _knows_something(self) -> Self:
        if (self.verdict is None) == (self.label is None):
            raise ValueError("a canary has either a verdict or a label")
        return self


class DataSource(Message):
    """A data set the model was trained on."""

    name: str
    licence: str
    home: str
    rows: int = Field(ge=0)


class BundleManifest(Message):
    """What `bundle.json` holds."""

    version: Literal[1] = 1
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")] = Field(description="Also names the work topic.")
    release: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] = Field(description="Version of the model.")
    task: Task
    languages: tuple[str, ...] = Field(min_length=1)
    head: Literal["sigmoid", "softmax"]
    labels: tuple[LabelSpec, ...] = Field(min_length=1)
    windows: WindowSpec
    tokenizer: TokenizerSpec
    models: tuple[ModelFile, ...] = Field(min_length=1)
    canaries: tuple[Canary, ...] = Field(
        min_length=2, description="At least one harmless and one harmful text, or texts of two labels."
    )
    base_model: str
    licence: str
    data: tuple[DataSource, ...]
    metrics: dict[str, JsonValue] = Field(description="Measured on the test splits named in the model card.")
    created_at: Timestamp

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        if len({label.name for label in self.labels}) < len(self.labels):
            raise ValueError("each label has a name of its own")
        if len({model.precision for model in self.models}) < len(self.models):
            raise ValueError("one graph a precision")
        expected = {canary.label for canary in self.canaries} - {None}
        if not expected <= {label.name for label in self.labels}:
            raise ValueError("a canary expects a label that the model has")
        verdicts = {canary.verdict for canary in self.canaries} - {None}
        if len(expected) < 2 and (Verdict.ALLOW not in verdicts or verdicts == {Verdict.ALLOW}):  # noqa: PLR2004 (kinds)
            raise ValueError("canaries hold at least one harmless and one harmful text, or texts of two labels")
        return self
