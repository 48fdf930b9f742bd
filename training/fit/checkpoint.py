"""What a run leaves so that it can go on: weights, optimiser, schedule and how far it came, replaced in one go."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"


@dataclass(slots=True)
class Reached:
    """How far a run came."""

    step: int = 0
    best: float | None = None
    """The best that validation found of what is watched, larger is better."""
    waited: int = 0
    """Validations since then."""
    seconds: float = 0.0


def save_checkpoint(folder: Path, model: nn.Module, optimiser: Optimizer, scale: LRScheduler, reached: Reached) -> None:
    """Replace the checkpoint, so that a cut leaves the old one."""
    states = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "scale": scale.state_dict()}
    _replace(folder / CHECKPOINT, {**states, "reached": asdict(reached)})


def load_checkpoint(folder: Path, model: nn.Module, optimiser: Optimizer, scale: LRScheduler) -> Reached:
    """How far the run in `folder` came, all else set to what it was then; the beginning without a checkpoint."""
    if not (folder / CHECKPOINT).exists():
        return Reached()
    whole = torch.load(folder / CHECKPOINT, weights_only=True, map_location="cpu")
    model.load_state_dict(whole["model"])
    optimiser.load_state_dict(whole["optimiser"])
    scale.load_state_dict(whole["scale"])
    return Reached(**whole["reached"])


def save_best(folder: Path, model: nn.Module) -> None:
    """Keep these weights as the best so far."""
    _replace(folder / BEST, model.state_dict())


def load_best(folder: Path, model: nn.Module) -> None:
    """Take the best weights, where some were kept."""
    if (folder / BEST).exists():
        model.load_state_dict(torch.load(folder / BEST, weights_only=True, map_location="cpu"))


def clear(folder: Path) -> None:
    """Remove what only a run that goes on needs."""
    for name in (CHECKPOINT, BEST):
        (folder / name).unlink(missing_ok=True)


def _replace(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    torch.save(content, new)
    new.replace(file)
