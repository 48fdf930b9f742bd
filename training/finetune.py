"""Fine-tune an encoder on prepared data: labels of texts, tags of words, or answers to questions, as the data's card says.

    python -m training.finetune --config training/runs/own.toml --prepared runs/tickets --base ENCODER --state runs/tickets-model
    python -m training.finetune --config … --state runs/student --teacher runs/teacher   # learn from a larger model as well
    torchrun --nproc-per-node 2 -m training.finetune …                                   # several processes or GPUs, same steps

Stops and goes on: the state folder gets a checkpoint every few minutes, and the order of the rows depends on the seed alone.
It ends with `model.safetensors`, `made.json`, the log and its figures; a folder that is finished is left as it is.
"""

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.data_card import DataCard, load_card
from training.fit.checkpoint import clear
from training.fit.curves import draw
from training.fit.loop import Lesson, fit, planned
from training.fit.team import Team, join, leave
from training.lessons.answer import Answering
from training.lessons.classify import Classification
from training.lessons.tag import Tagging
from training.made import MADE, Made, begin, begin_with, finish, load_made, machine, now, rounded, versions
from training.model import TOKENIZER, Model, drop_layers, from_pretrained
from training.prepare import load_table
from training.run_file import Run, load_run
from training.splice import with_spliced
from training.table import Table, read_shards
from training.teacher import corrected, soft_scores
from training.windows import learned, windows


def finetune(
    plan: Run, prepared: Path, base: Path, folder: Path, *, team: Team, start: Path | None = None, teachers: Sequence[Path] = ()
) -> Made:
    """Train to the end, from the last checkpoint in `folder` if there is one, and write what came of it.

    A fresh run begins with the weights that an earlier run left in `start`, or else with those of `base` and a fresh head; of an
    earlier run of more layers it takes those that `plan` names.
    Raises ConfigurationError for what does not fit together.
    """
    made = load_made(folder)
    if made:
        return made
    card = load_card(prepared)
    if team.leads:
        if unknown := plan.sets - {source.name for source in card.sources}:
            print(f"note: the data has no set {', '.join(sorted(unknown))}, which the run file names", file=sys.stderr)
        begin(folder, plan, card.shards)
    torch.manual_seed(plan.seed)
    outputs = 2 if card.task == "answer" else len(card.names)
    model = from_pretrained(base, plan.layers, outputs, card.task, dropout=plan.dropout, attention_dropout=plan.attention_dropout)
    if start:
        begin_with(model, start, plan.layers, card.names)
    drop_layers(model, plan.layer_drop)
    lesson, rows = lesson_of(card, prepared, plan, model, base, folder=folder, team=team, teachers=teachers)
    reached = fit(lesson, plan, folder, team)
    lesson.learner.eval()
    made = Made(
        task=card.task,
        names=card.names,
        run=plan,
        base_model=plan.base_model or _called(base),
        data=card.name,
        rows=rows,
        steps=min(reached.step, len(planned(lesson, plan))),
        seconds=round(reached.seconds, 1),
        machine=machine(team.device, team.size),
        figures=rounded(lesson.validate()) if team.leads else {},
        versions=versions(),
        finished_at=now(),
    )
    if team.leads:
        draw(folder)
        finish(folder, model, base, made)
        clear(folder)
    return made


def lesson_of(
    card: DataCard,
    prepared: Path,
    plan: Run,
    model: Model,
    base: Path,
    *,
    folder: Path,
    team: Team,
    teachers: Sequence[Path] = (),
) -> tuple[Lesson, int]:
    """What the prepared data teaches, and how many rows it has to learn from."""
    if plan.spliced_rows and not (teachers and card.task == "multi_label"):
        raise ConfigurationError("spliced_rows: they need a teacher, and a task of several labels")
    tokenizer = Tokenizer.from_file(str(base / TOKENIZER))
    if card.task in {"token", "answer"}:
        rows = list(read_shards(prepared))
        train, validation = ([row for row in rows if row["split"] == split] for split in ("train", "validation"))
        if card.task == "token":
            return Tagging(model, card.names, plan, train, validation, tokenizer=tokenizer, team=team), len(train)
        return Answering(model, plan, train, validation, tokenizer=tokenizer, team=team), len(train)
    table = load_table(prepared)
    more = {"hidden": plan.hidden_rows, "seed": plan.seed}
    to_learn = learned(_decided(table.where(split="train"), card), tokenizer, plan.tokens_max, task=card.task, **more)
    held = _some(_decided(table.where(split="validation"), card), plan.validation_rows, plan.seed)
    soft = None
    if teachers:
        to_learn = with_spliced(to_learn, plan.spliced_rows, plan.tokens_max, plan.seed)
        soft = soft_scores(teachers, to_learn, card.task, base, folder=folder, team=team, bfloat16=plan.bfloat16)
        soft = corrected(soft, to_learn, plan.trusted_sets)
    to_check = windows(held, tokenizer, plan.tokens_max, card.task)
    return Classification(model, card.task, plan, to_learn, to_check, team=team, soft=soft), len(to_learn.ids)


def _called(base: Path) -> str:
    """The name of the base encoder: of a fine-tuned one, what that was made from."""
    file = base / MADE
    said = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return str(said.get("base_model") or base.name)


def _decided(table: Table, card: DataCard) -> Table:
    """The rows of `table`; where one label of several is sought, those that have one."""
    if card.task != "single_label":
        return table
    return table.take(np.flatnonzero((table.labels == 1).sum(axis=1) == 1).tolist())


def _some(table: Table, count: int, seed: int) -> Table:
    """`count` of its rows at most, drawn with a fixed seed."""
    return table.take(sorted(np.random.default_rng(seed).permutation(len(table.texts))[:count].tolist()))


def _arguments() -> ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--config", type=Path, required=True, help="the run file, TOML or YAML")
    arguments.add_argument("--prepared", type=Path, required=True, help="folder that training.prepare wrote")
    arguments.add_argument("--base", type=Path, required=True, help="folder of the base encoder, or of a finished run")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoint and of what is made")
    arguments.add_argument("--from", dest="start", type=Path, help="folder of a finished run whose weights to begin with")
    arguments.add_argument(
        "--teacher", type=Path, action="append", default=[], help="folder of a finished run to learn from; repeatable"
    )
    arguments.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one")
    return arguments


def main() -> None:
    """Train, and say what came of it."""
    given = _arguments().parse_args()
    team = join(given.device)
    try:
        made = finetune(
            load_run(given.config), given.prepared, given.base, given.state, team=team, start=given.start, teachers=given.teacher
        )
    finally:
        leave()
    if team.leads:
        print(f"{made.steps:,} steps over {made.rows:,} rows in {made.seconds:,.0f} s on {made.machine}")
        print("validation: " + (", ".join(f"{name} {value:.4f}" for name, value in made.figures.items()) or "no rows"))
        print(f"written to {given.state}")


if __name__ == "__main__":
    run(main)
