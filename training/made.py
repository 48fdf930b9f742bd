"""A run's folder: what went in (`run.json`), what came out (`model.safetensors`, `made.json`), what it needs to be used again.

`made.json` is written last: a folder that has it is finished.
"""

import json
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import BaseModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from schemas.base import Message
from schemas.errors import ConfigurationError
from training.data_card import Task
from training.model import TOKENIZER, Model, from_config, keep_layers
from training.run_file import Run

WEIGHTS, MADE, BEGUN = "model.safetensors", "made.json", "run.json"
_DIGITS: Final = 4


class Made(Message):
    """What a finished run tells of itself."""

    task: Task
    names: tuple[str, ...]
    run: Run
    base_model: str
    data: str
    rows: int
    steps: int
    seconds: float
    machine: str
    figures: dict[str, float]
    versions: dict[str, str]
    finished_at: datetime


def begin(folder: Path, run: BaseModel, data: Mapping[str, str]) -> None:
    """Note what decides a run: its file with every default filled in, and its data by checksum.

    Raises ConfigurationError where `folder` holds the beginning of something else.
    """
    begun = {"run": run.model_dump(mode="json"), "data": dict(data)}
    file = folder / BEGUN
    if file.exists() and json.loads(file.read_text("utf-8")) != begun:
        raise ConfigurationError(f"{folder} holds another run or was made from other data: name another folder, or remove it")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(begun, indent=2) + "\n", "utf-8")


def finish(folder: Path, model: Model, base: Path, made: Made) -> None:
    """Write weights, the encoder's shape and the tokenizer, and last of all `made.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / WEIGHTS, {"run": made.run.model_dump_json()})
    model.encoder.config.save_pretrained(folder)
    shutil.copy(base / TOKENIZER, folder / TOKENIZER)
    (folder / MADE).write_text(made.model_dump_json(indent=2) + "\n", "utf-8")


def refuse_finished(folder: Path) -> None:
    """Raises ConfigurationError where `folder` holds a finished run, which nothing may write over."""
    if (folder / MADE).exists():
        raise ConfigurationError(f"{folder} holds a finished run: name another folder")


def load_made(folder: Path) -> Made | None:
    """What the run in `folder` made; None where it is not finished."""
    file = folder / MADE
    return Made.model_validate_json(file.read_bytes()) if file.exists() else None


def load_model(folder: Path) -> tuple[Model, Made]:
    """The model of a finished run, in evaluation mode; raises ConfigurationError where there is none."""
    made = load_made(folder)
    if made is None:
        raise ConfigurationError(f"{folder}: no finished run there; training.finetune makes one")
    outputs = 2 if made.task == "answer" else len(made.names)
    model = from_config(folder, outputs, made.task)
    model.load_state_dict(load_file(folder / WEIGHTS))
    return model.eval(), made


def begin_with(like: Model, folder: Path, layers: Sequence[int], names: Sequence[str]) -> None:
    """Give `like` the weights of the finished run in `folder`, of which it takes `layers` of the base encoder (none: all).

    Raises ConfigurationError where that run lacks some, learned other labels than `names`, or has another shape.
    """
    model, made = load_model(folder)
    own = made.run.layers or tuple(range(len(model.encoder.encoder.layer)))
    wanted = layers or own
    if missing := sorted(set(wanted) - set(own)):
        raise ConfigurationError(f"{folder}: the run there has no layers {missing} of its base encoder")
    keep_layers(model.encoder, [own.index(layer) for layer in wanted])
    weights, fresh = model.state_dict(), like.state_dict()
    if list(made.names) != list(names) or _shapes(weights) != _shapes(fresh):
        raise ConfigurationError(f"{folder}: the run there has other labels, layers or sizes; --base takes its encoder alone")
    like.load_state_dict(weights)


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def machine(device: torch.device, processes: int) -> str:
    """What a run ran on, in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return f"{name}, {processes} process{'es' if processes > 1 else ''}"


def _processor() -> str:
    name = str(torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine())
    return f"{name}, {len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Those that decide what comes out."""
    return {"python": platform.python_version(), "torch": torch.__version__}


def now() -> datetime:
    """To the second."""
    return datetime.now(UTC).replace(microsecond=0)


def rounded(figures: Mapping[str, Any]) -> dict[str, float]:
    """Figures as they are written down."""
    return {name: round(float(value), _DIGITS) for name, value in figures.items()}
