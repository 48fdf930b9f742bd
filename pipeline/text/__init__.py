"""Text as models read it: disguises folded, language detected. Pure but for the language model's file."""
