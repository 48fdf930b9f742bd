"""Fine-tune an encoder as a multi-label classifier.

    python -m training.finetune --run training/runs/moderation.toml --prepared prepared.jsonl --base ENCODER --state FOLDER
    python -m training.finetune --run training/runs/moderation-2.toml … --state FOLDER-2 --start FOLDER

Stops and goes on: the state folder gets a checkpoint every few minutes, and the order of the texts depends on the seed alone.
"""

import argparse
import math
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from training.labels import NAMES
from training.model import Classifier, from_pretrained, masked_loss
from training.prepare import Table, load_table
from training.windows import rows

CHECKPOINT: Final = "checkpoint.pt"
CHECKPOINT_EVERY_S: Final = 240
SORTED_STEPS: Final = 40
"""Texts are shuffled, then sorted by length within so many steps: little padding, and still a random order."""
RARE: Final = ("threat", "sexual", "self_harm", "illicit", "spam")


class Run(BaseModel):
    """A run file: everything that decides what comes out, next to the data and the base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layers: tuple[int, ...]
    tokens_max: int
    epochs: float
    rows_per_step: int
    rare_repeats: int
    hidden_rows: int
    learning_rate: float
    embedding_learning_rate: float
    bfloat16: bool
    warmup: float
    weight_decay: float
    seed: int


def load_run(path: Path) -> Run:
    """The run in `path`; raises ValidationError for what it does not know."""
    return Run.model_validate(tomllib.loads(path.read_text("utf-8")))


class Batch(NamedTuple):
    """`input_ids`, `attention_mask` int64 [rows, tokens]; `labels` float32 [rows, labels], NaN where unknown."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


def collate(ids: list[list[int]], labels: np.ndarray, pad_id: int) -> Batch:
    """Rows padded to the longest among them."""
    longest = max(map(len, ids))
    padded = torch.full((len(ids), longest), pad_id)
    mask = torch.zeros_like(padded)
    for row, tokens in enumerate(ids):
        padded[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return Batch(padded, mask, torch.from_numpy(labels))


def epoch_order(labels: np.ndarray, lengths: np.ndarray, run: Run, epoch: int) -> list[np.ndarray]:
    """Row numbers of each step of an epoch: shuffled, near each other in length, rare labels repeated."""
    random = np.random.default_rng((run.seed, epoch))
    rare = (labels[:, [NAMES.index(name) for name in RARE]] == 1).any(axis=1)
    chosen = np.repeat(np.arange(len(labels)), np.where(rare, run.rare_repeats, 1))
    random.shuffle(chosen)
    block = run.rows_per_step * SORTED_STEPS
    blocks = [chosen[start : start + block] for start in range(0, len(chosen), block)]
    by_length = np.concatenate([part[np.argsort(lengths[part], kind="stable")] for part in blocks])
    steps = np.array_split(by_length, math.ceil(len(by_length) / run.rows_per_step))
    return [steps[i] for i in random.permutation(len(steps))]


def optimiser_of(model: Classifier, run: Run) -> torch.optim.Optimizer:
    """AdamW; the pretrained embeddings learn slower than the layers, the fresh head ten times as fast."""
    embeddings = list(model.encoder.embeddings.parameters())
    layers = [weight for name, weight in model.encoder.named_parameters() if not name.startswith("embeddings.")]
    groups = [
        {"params": embeddings, "lr": run.embedding_learning_rate},
        {"params": layers, "lr": run.learning_rate},
        {"params": list(model.head.parameters()), "lr": 10 * run.learning_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=run.weight_decay, fused=True)


def schedule(run: Run, steps: int) -> Callable[[int], float]:
    """The share of the peak learning rate at each step: a linear rise, then a linear fall to zero."""
    rise = max(1, int(run.warmup * steps))
    return lambda step: min((step + 1) / rise, max(0.0, (steps - step) / max(1, steps - rise)))


def train(run: Run, table: Table, base: Path, state: Path, start: Path | None = None) -> Iterator[str]:
    """Train to the end, from the last checkpoint if there is one; yields a line of the log now and then.

    A fresh run begins with the weights that an earlier run left in `start`, or else with those of `base` and a fresh head.
    """
    torch.manual_seed(run.seed)
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    ids, labels = rows(table, tokenizer, run.tokens_max, run.hidden_rows, run.seed)
    lengths = np.array([len(row) for row in ids])
    model = from_pretrained(base, run.layers, len(NAMES))
    if start:
        model.load_state_dict(torch.load(start / CHECKPOINT, weights_only=True)["model"])
    optimiser = optimiser_of(model, run)
    order = [step for epoch in range(math.ceil(run.epochs)) for step in epoch_order(labels, lengths, run, epoch)]
    order = order[: round(len(order) * run.epochs / math.ceil(run.epochs))]
    scale = LambdaLR(optimiser, schedule(run, len(order)))
    done = load_checkpoint(state, model, optimiser, scale)
    saved_at, losses = time.monotonic(), []
    model.train()
    for step in tqdm(range(done, len(order)), initial=done, total=len(order), mininterval=10):
        batch = collate([ids[i] for i in order[step]], labels[order[step]], model.encoder.config.pad_token_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bfloat16):
            logits = model(batch.input_ids, batch.attention_mask)
        loss = masked_loss(logits.float(), batch.labels, torch.ones(len(NAMES)))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        scale.step()
        losses.append(loss.item())
        last = step + 1 == len(order)
        if last or time.monotonic() - saved_at > CHECKPOINT_EVERY_S:
            save_checkpoint(state, model, optimiser, scale, step + 1)
            yield f"step {step + 1:,} of {len(order):,}, mean loss {np.mean(losses):.4f}"
            saved_at, losses = time.monotonic(), []


def save_checkpoint(state: Path, model: Classifier, optimiser: torch.optim.Optimizer, scale: LambdaLR, step: int) -> None:
    """Replace the checkpoint in one go, so that a cut leaves the old one."""
    state.mkdir(parents=True, exist_ok=True)
    whole = {
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scale": scale.state_dict(),
        "random": torch.get_rng_state(),  # of dropout
        "step": step,
    }
    torch.save(whole, state / "checkpoint.new")
    (state / "checkpoint.new").replace(state / CHECKPOINT)


def load_checkpoint(state: Path, model: Classifier, optimiser: torch.optim.Optimizer, scale: LambdaLR) -> int:
    """Steps already done; 0 without a checkpoint."""
    if not (state / CHECKPOINT).exists():
        return 0
    whole = torch.load(state / CHECKPOINT, weights_only=True)
    model.load_state_dict(whole["model"])
    optimiser.load_state_dict(whole["optimiser"])
    scale.load_state_dict(whole["scale"])
    torch.set_rng_state(whole["random"])
    return int(whole["step"])


def main() -> None:
    """Train, printing the log."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", type=Path, required=True, help="the run file")
    arguments.add_argument("--prepared", type=Path, required=True, help="what training.prepare wrote")
    arguments.add_argument("--base", type=Path, required=True, help="folder of the base encoder")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoint")
    arguments.add_argument("--start", type=Path, help="folder of an earlier run's checkpoint to begin with")
    given = arguments.parse_args()
    table = load_table(given.prepared).where(split="train")
    for line in train(load_run(given.run), table, given.base, given.state, given.start):
        tqdm.write(line)


if __name__ == "__main__":
    main()
