"""The golden files: which there are, and what each holds."""

from pathlib import Path
from typing import Final

from schemas.base import Message
from schemas.bundles import BundleManifest
from schemas.dead_letters import DeadLetter, Replay
from schemas.jobs import TextJob
from schemas.policies import Policy
from schemas.results import InferenceResult

GOLDEN: Final = Path(__file__).parent / "golden" / "v1"
MESSAGES: Final[dict[str, tuple[type[Message], str]]] = {
    "text-job.json": (TextJob, "text-job"),
    "text-job-minimal.json": (TextJob, "text-job"),
    "inference-result.json": (InferenceResult, "inference-result"),
    "inference-result-words.json": (InferenceResult, "inference-result"),
    "dead-letter-of-job.json": (DeadLetter, "dead-letter"),
    "dead-letter-of-record.json": (DeadLetter, "dead-letter"),
    "dead-letter-unscored.json": (DeadLetter, "dead-letter"),
    "replay.json": (Replay, "replay"),
    "policy.json": (Policy, "policy"),
    "policy-words.json": (Policy, "policy"),
    "bundle-manifest.json": (BundleManifest, "bundle-manifest"),
    "bundle-manifest-topics.json": (BundleManifest, "bundle-manifest"),
}
"""File, its model and the name of its JSON Schema."""
BULK: Final = "text-jobs.json"
WORK: Final = ("work-batch.bin", "work-batch-small-vocabulary.bin", "work-batch-words.bin", "work-batch-traced.bin")
WORDS: Final = "vocabulary.json"
"""Tasks, verdicts, signals and codes."""


def golden(name: str) -> bytes:
    """The message in the golden file `name`."""
    content = (GOLDEN / name).read_bytes()
    return content.removesuffix(b"\n") if name.endswith(".json") else content
