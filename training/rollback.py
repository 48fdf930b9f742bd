"""Undo the last promotion: `models/current` leads again to the bundle that was there before.

    python -m training.rollback --models models

Start workers and preprocess apps again to take it up. Twice goes back by two.
"""

from pathlib import Path

from training.command import parser, run
from training.promote.switch import rollback


def main() -> None:
    """Go back."""
    arguments = parser(__doc__)
    arguments.add_argument("--models", type=Path, default=Path("models"), help="folder of the bundles (default models)")
    print(f"in service: {rollback(arguments.parse_args().models)}")


if __name__ == "__main__":
    run(main)
