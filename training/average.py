"""Average the weights of a model before and after a run that began with it: much of what was learned, little forgotten.

    python -m training.average --before runs/moderation/start --after runs/moderation/further --state runs/moderation/between
    python -m training.average … --share 0.3        # nearer to what it began with

After Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022). Models that did not grow out of each other have no
sensible average.
"""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.made import MADE, WEIGHTS, Made, load_made, now
from training.model import CONFIG, TOKENIZER


def average(before: Path, after: Path, state: Path, share: float) -> Made:
    """Write the finished run `state`: `share` of the weights of `after`, and the rest of `before`, which are finished runs too.

    Raises ConfigurationError where a run is missing, where `state` holds one, and where the two have not the same weights.
    """
    made, earlier = load_made(after), load_made(before)
    if not made or not earlier:
        raise ConfigurationError(f"{before if made else after}: no finished run there")
    if load_made(state):
        raise ConfigurationError(f"{state} holds a finished run: name another folder")
    old, new = load_file(before / WEIGHTS), load_file(after / WEIGHTS)
    if made.names != earlier.names or {name: value.shape for name, value in old.items()} != {
        name: value.shape for name, value in new.items()
    }:
        raise ConfigurationError(f"{before} and {after} are not the same model before and after a run")
    state.mkdir(parents=True, exist_ok=True)
    save_file({name: torch.lerp(old[name], value, share) for name, value in new.items()}, state / WEIGHTS)
    for name in (CONFIG, TOKENIZER):
        shutil.copy(after / name, state / name)
    between = made.model_copy(update={"figures": {}, "finished_at": now()})
    (state / MADE).write_text(between.model_dump_json(indent=2) + "\n", "utf-8")
    return between


def main() -> None:
    """Average, and say of what."""
    arguments = parser(__doc__)
    arguments.add_argument("--before", type=Path, required=True, help="folder of the run that the other began with")
    arguments.add_argument("--after", type=Path, required=True, help="folder of the later run")
    arguments.add_argument("--state", type=Path, required=True, help="folder to write the model to")
    arguments.add_argument("--share", type=float, default=0.5, help="of the later run, from 0 to 1 (default 0.5)")
    given = arguments.parse_args()
    if not 0 <= given.share <= 1:
        arguments.error("--share is from 0 to 1")
    average(given.before, given.after, given.state, given.share)
    print(f"{1 - given.share:.0%} of {given.before} and {given.share:.0%} of {given.after}, written to {given.state}")


if __name__ == "__main__":
    run(main)
