"""Teachers' scores of the training rows: computed once, kept in the run's folder, and gone on with where they were cut."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy.lib.format import open_memmap
from tqdm import tqdm

from schemas.errors import ConfigurationError
from training.data_card import Task
from training.fit.precision import Wanted, use_bfloat16
from training.fit.team import Team
from training.lessons.classify import classify
from training.made import WEIGHTS, load_model
from training.model import TOKENIZER, Model
from training.windows import Windows
from workers.fold import probabilities

CHUNK: Final = 2048
"""Rows between two notes of how far it came."""
Floats = npt.NDArray[np.float32]


def soft_scores(
    teachers: Sequence[Path], rows: Windows, task: Task, base: Path, *, folder: Path, team: Team, bfloat16: Wanted = False
) -> Floats:
    """The mean of the teachers' probabilities [rows, labels]; raises ConfigurationError where one does not fit."""
    half = use_bfloat16(bfloat16, team.device)
    models = [_opened(teacher, rows.names, task, base, team) for teacher in teachers]
    file = folder / f"teacher-{_key(teachers, rows)}.npy"
    shape = (len(rows.ids), len(rows.names))
    if team.leads and not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        open_memmap(file, "w+", np.float32, shape)[:] = np.nan
    team.told(0)  # the others wait for the file
    scores = open_memmap(file, "r+", np.float32, shape)
    for chosen in tqdm(list(_chunks(rows, scores, team)), desc="teacher", unit=" chunks", disable=not team.leads):
        ids = [rows.ids[i] for i in chosen]
        scores[chosen] = np.mean([_scores(model, ids, task, team, half) for model in models], axis=0)
        scores.flush()
    team.told(0)
    return np.array(scores)


def corrected(scores: Floats, rows: Windows, trusted: Sequence[str]) -> Floats:
    """`scores` [rows, labels] with the known labels of the `trusted` sets in their place."""
    settled = ~np.isnan(rows.labels) & np.isin(rows.sets, trusted)[:, None]
    return np.where(settled, rows.labels, scores)


def _opened(teacher: Path, names: tuple[str, ...], task: Task, base: Path, team: Team) -> Model:
    model, made = load_model(teacher)
    if (made.names, made.task) != (names, task):
        raise ConfigurationError(f"teacher {teacher}: it knows {made.task} {made.names}, and this run learns {task} {names}")
    if (teacher / TOKENIZER).read_bytes() != (base / TOKENIZER).read_bytes():
        raise ConfigurationError(f"teacher {teacher}: its tokenizer is not that of {base}")
    return model.to(team.device)


def _chunks(rows: Windows, scores: Floats, team: Team) -> Iterator[npt.NDArray[np.intp]]:
    """Rows still to be scored by this process, those of like length together."""
    order = np.argsort(rows.lengths, kind="stable")
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    yield from (chosen for chosen in chunks[team.rank :: team.size] if np.isnan(scores[chosen]).any())


def _scores(model: Model, ids: list[list[int]], task: Task, team: Team, half: bool) -> Floats:  # noqa: FBT001
    head: Final = "softmax" if task == "single_label" else "sigmoid"
    return probabilities(classify(model, ids, team.device, bfloat16=half), head).astype(np.float32)


def _key(teachers: Sequence[Path], rows: Windows) -> str:
    """Changes where the teachers or the rows do."""
    digest = hashlib.sha256(np.concatenate([rows.lengths, [row[-2] for row in rows.ids]]).tobytes())
    for teacher in teachers:
        with (teacher / WEIGHTS).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]
