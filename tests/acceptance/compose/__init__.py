"""The compose stack, built and run as a stranger would: README.md tells what for."""
