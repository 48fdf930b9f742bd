"""Contrast sets: sentences of which a small change flips the label, so that the model learns the thing and not the word.

`contrast` yields what is trained on; `heldout` yields whole templates and whole words that training never sees. The words and
the sentences stand in `data`; `docs/contrast.md` tells how to add some.
"""

from training.contrast.build import contrast, heldout

__all__ = ["contrast", "heldout"]
