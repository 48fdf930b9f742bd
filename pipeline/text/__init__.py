"""Text as models read it: folded disguises, detected language."""
