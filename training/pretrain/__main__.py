"""Pretrain a language model on plain texts: from scratch, or on from a base encoder with texts like yours.

    python -m training.pretrain --config training/runs/masked-cpu.toml --texts FOLDER --tokenizer runs/tokenizer --state runs/tiny
    python -m training.pretrain --config training/runs/masked-gpu.toml --texts FOLDER --base ENCODER --state runs/in-domain
    python -m training.pretrain --config training/runs/causal-cpu.toml --texts FOLDER --tokenizer runs/tokenizer --state runs/gpt

Stops and goes on as training.finetune does, and runs under torchrun. One text in twenty is held out; perplexity on those is
reported. A masked model ends as an encoder that training.finetune takes as its --base.
"""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.fit.checkpoint import clear
from training.fit.curves import draw
from training.fit.loop import fit
from training.fit.team import Team, join, leave
from training.made import MADE, begin, machine, now, rounded, versions
from training.model import TOKENIZER
from training.plain_text import texts
from training.pretrain.blocks import blocks
from training.pretrain.config import Pretraining
from training.pretrain.lesson import LanguageModelling
from training.pretrain.models import model_of, save, written_on
from training.run_file import load_config


def pretrain(
    plan: Pretraining, folders: list[Path], tokenizer_of: Path, folder: Path, *, team: Team, base: Path | None = None
) -> dict[str, Any]:
    """Train to the end, from the last checkpoint in `folder` if there is one; returns what was made, as in `made.json`."""
    if (folder / MADE).exists():
        return dict(json.loads((folder / MADE).read_text("utf-8")))
    tokenizer = Tokenizer.from_file(str(tokenizer_of / TOKENIZER))
    rows, held = blocks(texts(folders), tokenizer, plan.tokens_max)
    if team.leads:
        begin(folder, plan, {"rows": str(len(rows)), "tokens": str(int(rows.sum()))})
    torch.manual_seed(plan.seed)
    model = model_of(plan, tokenizer, base)
    lesson = LanguageModelling(model, plan, rows, held, tokenizer=tokenizer, team=team)
    reached = fit(lesson, plan, folder, team)
    lesson.learner.eval()
    made = {
        "objective": plan.objective,
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "tokens": int(rows.size),
        "steps": reached.step,
        "seconds": round(reached.seconds, 1),
        "machine": machine(team.device, team.size),
        "figures": rounded(lesson.validate()) if team.leads else {},
        "versions": versions(),
        "finished_at": now().isoformat(),
    }
    if team.leads:
        _finish(model, plan, tokenizer, folder, made)
    return made


def _finish(model: Any, plan: Pretraining, tokenizer: Tokenizer, folder: Path, made: dict[str, Any]) -> None:  # noqa: ANN401
    draw(folder)
    save(model, plan, tokenizer, folder)
    if plan.objective == "causal":
        made["written_on"] = written_on(model, tokenizer)
    (folder / MADE).write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", "utf-8")
    clear(folder)


def _arguments() -> ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--config", type=Path, required=True, help="the run file, TOML or YAML")
    arguments.add_argument("--texts", type=Path, action="append", required=True, help="folder or file of plain texts; repeatable")
    arguments.add_argument("--tokenizer", type=Path, help="folder of a tokenizer, to begin from scratch")
    arguments.add_argument("--base", type=Path, help="folder of a model to go on from, with its tokenizer")
    arguments.add_argument("--state", type=Path, required=True, help="folder of the checkpoint and of what is made")
    arguments.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU where there is one")
    return arguments


def main() -> None:
    """Pretrain, and say what came of it."""
    given = _arguments().parse_args()
    tokenizer = given.tokenizer or given.base
    if tokenizer is None:
        raise ConfigurationError("name --tokenizer FOLDER to begin from scratch, or --base FOLDER to go on")
    team = join(given.device)
    try:
        made = pretrain(load_config(given.config, Pretraining), given.texts, tokenizer, given.state, team=team, base=given.base)
    finally:
        leave()
    if team.leads:
        figures = ", ".join(f"{name} {value:,.3f}" for name, value in made["figures"].items())
        print(f"{made['parameters']:,} parameters, {made['steps']:,} steps in {made['seconds']:,.0f} s")
        print(f"held-out rows: {figures or 'none'}")
        print(f"written to {given.state}")


if __name__ == "__main__":
    run(main)
