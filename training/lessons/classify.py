"""Learns labels of texts: several independent ones, some unknown, or one of several; if asked, from teachers as well."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.data_card import Task
from training.figures import multi_label_figures, single_label_figures
from training.fit.loop import Learner
from training.fit.order import balanced, epoch_order
from training.fit.team import Rows, Team
from training.losses import multi_label_loss, single_label_loss, soft_multi_label_loss, soft_single_label_loss
from training.model import Model
from training.padding import padded
from training.run_file import Run
from training.windows import Windows

VALIDATION_BATCH = 64
Floats = npt.NDArray[np.float32]


class LabelLearner(Learner):
    """A classifier with its loss: against labels, and against teachers' scores where a batch holds some."""

    model: Model

    def __init__(self, model: Model, task: Task, smoothing: float) -> None:
        super().__init__()
        self.model = model
        self._single = task == "single_label"
        self._smoothing = smoothing

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, soft: Tensor | None = None) -> Tensor:
        """Sums of the losses [1 or 2]."""
        logits = self.model(input_ids, attention_mask).float()
        if self._single:
            hard = single_label_loss(logits, labels.argmax(-1), self._smoothing)
        else:
            hard = multi_label_loss(logits, labels, self._smoothing)
        if soft is None:
            return hard[None]
        by_teacher = soft_single_label_loss if self._single else soft_multi_label_loss
        return torch.stack([hard, by_teacher(logits, soft)])


class Classification:
    """The lesson; see `training.fit.loop.Lesson`. `soft` holds the teachers' scores of the training rows."""

    def __init__(
        self, model: Model, task: Task, run: Run, train: Windows, validation: Windows, *, team: Team, soft: Floats | None = None
    ) -> None:
        self.learner = LabelLearner(model, task, run.label_smoothing)
        self.weights = torch.tensor([1.0] if soft is None else [1 - run.teacher_weight, run.teacher_weight])
        self._task, self._run, self._team = task, run, team
        self._train, self._validation, self._soft = train, validation, soft
        self._repeats = _repeats(train, run)
        self._pad = model.encoder.config.pad_token_id

    def order(self, epoch: int) -> list[Rows]:
        """Shuffled rows, rare ones repeated."""
        return epoch_order(self._train.lengths, self._repeats, self._run.rows_per_step, self._run.seed, epoch)

    def batch(self, rows: Rows, step: int) -> dict[str, Tensor]:  # noqa: ARG002 (the lesson's signature)
        """Ids, mask, labels, and teachers' scores."""
        made = padded([self._train.ids[i] for i in rows], self._pad) | {"labels": torch.from_numpy(self._train.labels[rows])}
        return made if self._soft is None else made | {"soft": torch.from_numpy(self._soft[rows]).float()}

    def counts(self, batch: dict[str, Tensor]) -> Tensor:
        """Known labels, or rows where one class is sought; the same for the teachers' scores."""
        rows = batch["labels"]
        single = self._task == "single_label"
        hard = torch.tensor(float(len(rows))) if single else (~torch.isnan(rows)).sum().float()
        if self._soft is None:
            return hard[None]
        return torch.stack([hard, torch.tensor(float(len(rows) if single else rows.numel()))])

    def validate(self) -> dict[str, float]:
        """Loss and how well the labels are told, each window for itself."""
        if not self._validation.ids:
            return {}
        logits = classify(self.learner.model, self._validation.ids, self._team.device)
        figures = single_label_figures if self._task == "single_label" else multi_label_figures
        return figures(logits, self._validation.labels)


def _repeats(train: Windows, run: Run) -> npt.NDArray[np.float64]:
    rare = [train.names.index(name) for name in run.rare_labels if name in train.names]
    carries = (train.labels[:, rare] == 1).any(axis=1)
    by_label = np.maximum(balanced(train.labels, run.balance, run.repeats_max), np.where(carries, run.rare_repeats, 1.0))
    by_set = np.array([run.set_repeats.get(name, 1.0) for name in train.sets])
    times: npt.NDArray[np.float64] = by_label * by_set
    return times


def classify(model: Model, ids: list[list[int]], device: torch.device, *, bfloat16: bool = False) -> Floats:
    """Logits [rows, labels] of rows of token ids, in evaluation mode for the while."""
    order = np.argsort([len(row) for row in ids], kind="stable")
    found = np.empty((len(ids), model.head.out_features), np.float32)
    before, pad = model.training, model.encoder.config.pad_token_id
    model.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        for start in range(0, len(order), VALIDATION_BATCH):
            rows = order[start : start + VALIDATION_BATCH]
            batch = padded([ids[i] for i in rows], pad)
            found[rows] = model(**{name: value.to(device) for name, value in batch.items()}).float().cpu().numpy()
    model.train(before)
    return found
