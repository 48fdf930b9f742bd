"""Make a tokenizer: train one, take a base encoder's, cut its vocabulary down to what texts need, or have it spell out emoji.

    python -m training.tokenizer train --texts FOLDER --kind unigram --vocabulary 8000 --output runs/tokenizer
    python -m training.tokenizer take --base ENCODER --output runs/tokenizer
    python -m training.tokenizer cut --base ENCODER --texts FOLDER --uses-min 3 --output runs/smaller-encoder
    python -m training.tokenizer spell --base ENCODER --output runs/spelling-encoder

`cut` writes the whole encoder with fewer rows in its embedding table, which training.finetune takes as its base. `spell` writes
it with the names of emoji in place of those that its vocabulary lacks. Texts are plain texts in folders
(training.plain_text), or the prepared texts of training.prepare.
"""

import json
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer
from tqdm import tqdm

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.model import TOKENIZER
from training.plain_text import texts
from training.tokenizer.cut import cut
from training.tokenizer.spell import spell
from training.tokenizer.train import train


def _arguments() -> ArgumentParser:
    arguments = parser(__doc__)
    steps = arguments.add_subparsers(dest="step", required=True)
    training = steps.add_parser("train", help="train one on plain texts")
    training.add_argument("--kind", choices=("unigram", "bpe"), default="unigram", help="unigram (default) or byte-level BPE")
    training.add_argument("--vocabulary", type=int, default=8000, help="pieces, at most (default 8000)")
    taking = steps.add_parser("take", help="take a base encoder's")
    cutting = steps.add_parser("cut", help="cut a base encoder's vocabulary down")
    cutting.add_argument("--uses-min", type=int, default=1, help="how often a piece must be used to be kept (default 1)")
    cutting.add_argument("--vocabulary", type=int, help="keep so many of the most frequent pieces")
    spelling = steps.add_parser("spell", help="have a base encoder's, or a finished run's, spell out the emoji that it lacks")
    for step in (training, cutting):
        step.add_argument("--texts", type=Path, action="append", required=True, help="folder or file of texts; repeatable")
    for step in (taking, cutting, spelling):
        step.add_argument("--base", type=Path, required=True, help="folder of the base encoder")
    for step in (training, taking, cutting, spelling):
        step.add_argument("--output", type=Path, required=True, help="folder to write")
    return arguments


def make(given: Namespace) -> dict[str, int]:
    """Make it; returns the number of its pieces, and of the emoji that it spells out where that was asked for.

    Raises ConfigurationError where the output is the base's own folder, which would be written over.
    """
    if given.step != "train" and given.output.resolve() == given.base.resolve():
        raise ConfigurationError(f"{given.output} is the base itself: name another folder for the output")
    given.output.mkdir(parents=True, exist_ok=True)
    made = {}
    if given.step == "spell":
        made["emoji"] = spell(given.base, given.output)
    elif given.step == "cut":
        cut(given.base, _read(given.texts), given.output, uses_min=given.uses_min, vocabulary=given.vocabulary)
    elif given.step == "take":
        shutil.copy(given.base / TOKENIZER, given.output / TOKENIZER)
    else:
        train(_read(given.texts), given.kind, given.vocabulary).save(str(given.output / TOKENIZER))
    return {"pieces": Tokenizer.from_file(str(given.output / TOKENIZER)).get_vocab_size()} | made


def _read(folders: list[Path]) -> Iterable[str]:
    shown: Iterable[str] = tqdm(texts(folders), desc="texts", unit="", mininterval=1)
    return shown


def main() -> None:
    """Make it, and say what came of it."""
    given = _arguments().parse_args()
    print(json.dumps({"output": str(given.output)} | make(given)))


if __name__ == "__main__":
    run(main)
