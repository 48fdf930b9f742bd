"""Figures of a validation: loss and quality of logits against truths."""

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

Floats = npt.NDArray[np.floating]


def multi_label_figures(logits: Floats, labels: Floats) -> dict[str, float]:
    """Loss over known labels; accuracy at 0.5; AUROC, AUPRC and F1 as means over the labels that occur both ways."""
    known = ~np.isnan(labels)
    truth, value = labels[known], logits[known].astype(np.float64)
    figures = {
        "loss": float(np.mean(np.logaddexp(0, value) - truth * value)),
        "accuracy": float(np.mean((value > 0) == truth)),
    }
    columns = [(labels[known[:, i], i], logits[known[:, i], i]) for i in range(labels.shape[1])]
    both = [(true, score) for true, score in columns if 0 < true.sum() < len(true)]
    if both:
        figures |= {
            "auroc": float(np.mean([roc_auc_score(true, score) for true, score in both])),
            "auprc": float(np.mean([average_precision_score(true, score) for true, score in both])),
            "f1": float(np.mean([f1_score(true, score > 0, zero_division=0) for true, score in both])),
        }
    return figures


def single_label_figures(logits: Floats, labels: Floats) -> dict[str, float]:
    """Loss, accuracy and macro-F1 of rows with one class each; `labels` [rows, classes] holds a single 1 a row."""
    truth, guess = labels.argmax(1), logits.argmax(1)
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth]
    return {
        "loss": float(losses.mean()),
        "accuracy": float(accuracy_score(truth, guess)),
        "f1": float(f1_score(truth, guess, average="macro", zero_division=0)),
    }
