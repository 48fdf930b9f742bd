"""The training loop: steps of a lesson, on one process or several, that can be cut at any moment and goes on where it was."""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from tqdm import tqdm

from schemas.errors import ConfigurationError
from training.fit.checkpoint import Reached, load_best, load_checkpoint, save_best, save_checkpoint
from training.fit.journal import Journal
from training.fit.memory import keep_memory
from training.fit.optimiser import optimiser_of
from training.fit.plan import Plan
from training.fit.precision import use_bfloat16
from training.fit.schedules import schedule
from training.fit.team import Rows, Team

CHECKPOINT_EVERY_S: Final = 240
LOG_EVERY: Final = 10
"""Steps of which a line of the log is the mean."""
_SEEDS: Final = 1 << 62
Batch = dict[str, Tensor]


class Learner(nn.Module):
    """A model with its losses."""

    model: nn.Module


class Lesson(Protocol):
    """What is learned: a learner, its rows, and how they become a loss."""

    @property
    def learner(self) -> Learner:
        """Called with a batch, it gives the sums of each kind of loss [kinds]."""

    @property
    def weights(self) -> Tensor:
        """How much each kind counts [kinds]."""

    def order(self, epoch: int) -> list[Rows]:
        """The rows of each step of an epoch; the same whenever it is asked."""

    def batch(self, rows: Rows, step: int) -> Batch:
        """Those rows as tensors on the CPU."""

    def counts(self, batch: Batch) -> Tensor:
        """By what the sums of each kind are to be divided [kinds]."""

    def validate(self) -> dict[str, float]:
        """Figures of the validation rows, `loss` among them; empty where there are none."""


@dataclass(slots=True)
class _Fit:
    """One run under way."""

    lesson: Lesson
    plan: Plan
    folder: Path
    team: Team
    wrapped: nn.Module
    optimiser: Optimizer
    scale: LRScheduler
    bfloat16: bool
    reached: Reached = field(default_factory=Reached)
    losses: list[Tensor] = field(default_factory=list)

    @property
    def model(self) -> nn.Module:
        """What learns."""
        return self.lesson.learner.model


def fit(lesson: Lesson, plan: Plan, folder: Path, team: Team) -> Reached:
    """Learn to the end, from the checkpoint in `folder` if there is one; returns how far it came.

    `lesson.learner` then holds the weights of the last step, or the best ones where the plan stops early.
    """
    keep_memory()
    steps = planned(lesson, plan)
    run = _begin(lesson, plan, folder, team, len(steps))
    journal = Journal(folder, run.reached.step) if team.leads else None
    validate_at = plan.validate_every or round(len(steps) / max(1.0, plan.epochs)) or 1
    for _ in _watched(run, steps, journal):
        step = run.reached.step
        if step % validate_at == 0 or step == len(steps):
            _validate(run, journal)
            if plan.stop_after and run.reached.waited >= plan.stop_after:
                break
    if plan.stop_after:
        load_best(folder, run.model)
    return run.reached


def planned(lesson: Lesson, plan: Plan) -> list[Rows]:
    """The rows of every step of the run."""
    epochs = math.ceil(plan.epochs)
    steps = [step for epoch in range(epochs) for step in lesson.order(epoch)]
    return steps[: max(1, round(len(steps) * plan.epochs / epochs))]


def _begin(lesson: Lesson, plan: Plan, folder: Path, team: Team, steps: int) -> _Fit:
    wrapped = team.wrap(lesson.learner)
    optimiser = optimiser_of(lesson.learner, plan)
    scale = LambdaLR(optimiser, schedule(plan.schedule, steps, plan.warmup, plan.cycles))
    run = _Fit(lesson, plan, folder, team, wrapped, optimiser, scale, use_bfloat16(plan.bfloat16, team.device))
    run.reached = load_checkpoint(folder, run.model, optimiser, scale)
    return run


def _watched(run: _Fit, steps: list[Rows], journal: Journal | None) -> Iterator[None]:
    """Take the steps that are left, with a progress bar, a log, and a checkpoint now and then; yields after each."""
    left = range(run.reached.step, len(steps))
    bar = tqdm(left, initial=left.start, total=len(steps), desc="fit", unit=" steps", mininterval=5, disable=not run.team.leads)
    began, saved = time.monotonic() - run.reached.seconds, time.monotonic()
    run.lesson.learner.train()
    for number in bar:
        rate = float(run.scale.get_last_lr()[-1])
        loss = take_step(run, steps[number])
        run.reached.step, run.reached.seconds = number + 1, time.monotonic() - began
        if journal:
            run.losses.append(loss)
        if journal and (run.reached.step % LOG_EVERY == 0 or run.reached.step == len(steps)):
            bar.set_postfix(loss=f"{_note(run, journal, rate):.4f}", refresh=False)
        yield
        if run.team.leads and (run.reached.step == len(steps) or time.monotonic() - saved > CHECKPOINT_EVERY_S):
            save_checkpoint(run.folder, run.model, run.optimiser, run.scale, run.reached)
            saved = time.monotonic()


def _note(run: _Fit, journal: Journal, rate: float) -> float:
    """Write the mean loss of the last steps; raises ConfigurationError where it is no number any more."""
    mean = float(torch.stack(run.losses).mean())
    run.losses.clear()
    if not math.isfinite(mean):
        raise ConfigurationError(f"the loss is {mean} at step {run.reached.step}: lower the learning rate, or raise warmup")
    journal.write(step=run.reached.step, loss=round(mean, 6), learning_rate=rate, seconds=round(run.reached.seconds, 1))
    return mean


def take_step(run: _Fit, rows: Rows) -> Tensor:
    """One step over `rows`, of which this process takes its part; returns the loss over all of them.

    The loss is the sum over all pieces and processes, divided by the count over all of them: so it is the same however the
    rows are parted.
    """
    device, plan, team = run.team.device, run.plan, run.team
    torch.manual_seed(hash((plan.seed, run.reached.step, team.rank)) % _SEEDS)  # of dropout: a run that goes on draws the same
    batches = [run.lesson.batch(part, run.reached.step) for part in team.part(rows, plan.accumulate)]
    counts = team.total(torch.stack([run.lesson.counts(batch) for batch in batches]).sum(0).to(device))
    share = run.lesson.weights.to(device) / counts.clamp(min=1)
    total = torch.zeros((), device=device)
    for number, batch in enumerate(batches):
        with team.alone(run.wrapped) if number + 1 < len(batches) else nullcontext():
            total += _backward(run, batch, share)
    nn.utils.clip_grad_norm_(run.lesson.learner.parameters(), plan.clip)
    run.optimiser.step()
    run.optimiser.zero_grad()
    run.scale.step()
    return team.total(total)


def _backward(run: _Fit, batch: Batch, share: Tensor) -> Tensor:
    """Gradients of one piece; returns its part of the loss. DDP takes the mean over processes, and a sum is wanted."""
    device = run.team.device
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=run.bfloat16):
        sums = run.wrapped(**moved)
    loss: Tensor = (sums.float() * share).sum()
    (loss * run.team.size).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def _validate(run: _Fit, journal: Journal | None) -> None:
    """Validate in the leading process, and note whether it got better."""
    found: dict[str, float] = {}
    if run.team.leads:
        run.lesson.learner.eval()
        found = run.lesson.validate()
        run.lesson.learner.train()
    watched = found.get(run.plan.watch, math.nan)
    score = run.team.told(-watched if run.plan.watch == "loss" else watched)
    if math.isnan(score):
        return
    run.reached.waited += 1
    best = -math.inf if run.reached.best is None else run.reached.best
    if score > best:
        run.reached.best, run.reached.waited = score, 0
    if score >= best and run.team.leads and run.plan.stop_after:  # of equal ones the later, which smaller steps have led to
        save_best(run.folder, run.model)
    if journal:
        named = {("validation_loss" if name == "loss" else name): value for name, value in found.items()}
        journal.write(step=run.reached.step, **named)
