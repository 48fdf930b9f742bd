"""From the model of a finished run to a bundle that workers serve."""
