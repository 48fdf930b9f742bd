"""Average the weights of a model before and after a run that began with it: much of what was learned, little forgotten.

    python -m training.average --before runs/moderation/start --after runs/moderation/further --state runs/moderation/between
    python -m training.average … --share 0.3        # nearer to what it began with

After Wortsman et al., Robust fine-tuning of zero-shot models (CVPR 2022). Models that did not grow out of each other have no
sensible average.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.made import Made, finish, load_model, now, refuse_finished


def average(before: Path, after: Path, state: Path, share: float) -> Made:
    """Write the finished run `state`: `share` of the weights of `after`, and the rest of `before`, which are finished runs too.

    Raises ConfigurationError where a run is missing, where `state` holds one, and where the two have not the same weights.
    """
    refuse_finished(state)
    (earlier, earlier_made), (model, made) = load_model(before), load_model(after)
    old, new = earlier.state_dict(), model.state_dict()
    if earlier_made.names != made.names or _shapes(old) != _shapes(new):
        raise ConfigurationError(f"{before} and {after} are not the same model before and after a run")
    model.load_state_dict({name: torch.lerp(old[name], value, share) for name, value in new.items()})
    between = made.model_copy(update={"figures": {}, "finished_at": now()})
    finish(state, model, after, between)
    return between


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}


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
