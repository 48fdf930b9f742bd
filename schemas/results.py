"""Results: one JSON object a record, keyed by job id. A repeat differs only in `timings` and `attempt`."""

from typing import Literal

from pydantic import Field, JsonValue

from schemas.base import Message, Timestamp
from schemas.bundles import Probability, Sha256
from schemas.codes import Signal, Verdict
from schemas.policies import WordHits


class LabelScore(Message):
    """How far one label holds."""

    label: str
    raw_score: Probability = Field(description="The model's own probability.")
    score: Probability = Field(description="Calibrated: means the same after the next release.")
    over_threshold: bool = Field(description="The policy asks for review or block at this score.")


class ModelRef(Message):
    """Which weights gave the scores."""

    name: str
    release: str
    precision: str
    sha256: Sha256 = Field(description="Checksum of the ONNX file.")


class PolicyRef(Message):
    """Which policy gave the verdict."""

    name: str
    release: str
    sha256: Sha256 = Field(description="Checksum of the policy file, and of the word files that it names.")


class Coverage(Message):
    """What was read of the text: nothing is cut silently, so both counts agree."""

    tokens_total: int = Field(ge=1)
    tokens_scored: int = Field(ge=0)
    windows: int = Field(ge=1)


class Timings(Message):
    """Where the time went, in milliseconds."""

    wait_ms: float = Field(description="From the broker's acceptance of the job to preprocess.")
    preprocess_ms: float = Field(description="Normalise, tokenise, pack.")
    queue_ms: float = Field(description="From the packed batch to the model.")
    infer_ms: float = Field(description="The batch in the model, fold and policy.")
    total_ms: float = Field(description="From the broker's acceptance of the job to the result.")
    completed_at: Timestamp


class InferenceResult(Message):
    """What came of one job."""

    version: Literal[1] = 1
    job_id: str
    task: str
    tenant: str
    verdict: Verdict
    labels: tuple[LabelScore, ...]
    signals: tuple[Signal, ...] = Field(default=(), description="What had to be folded before the text could be scored.")
    words: WordHits | None = Field(
        default=None, exclude_if=lambda words: words is None, description="What the text holds of the policy's word lists."
    )
    language: str
    model: ModelRef
    policy: PolicyRef
    tokenizer_sha256: Sha256
    coverage: Coverage
    created_at: Timestamp
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    attempt: int = Field(default=1, ge=1)
    timings: Timings
