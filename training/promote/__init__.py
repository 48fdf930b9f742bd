"""Puts a bundle into service, if it is no worse than the one that is there; and takes it back."""
