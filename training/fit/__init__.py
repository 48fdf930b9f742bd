"""The training loop that fine-tuning and pretraining share, and its parts."""
