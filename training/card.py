"""The model card of a bundle, from its manifest alone: README.md in its folder."""

from collections.abc import Iterator
from typing import Any, Final

from schemas.bundles import BundleManifest

_USE: Final = """\
## What it is for
Sorting large streams of user comments in English and Chinese: most pass, some wait for a person, the plainest are blocked. The
thresholds are yours (`pipeline/defaults/policies/default.toml`); scores are calibrated, so that 0.8 means that about 8 of 10
texts like those of the validation sets carry the label. Other mixtures of texts have other shares.

## What it must not be used for
Decisions about people without a person who looks, policing of private messages, ranking of users, languages other than English
and Chinese. No label finds child abuse material, graphic violence or instructions for self-harm: there was no licensed data.
"""
_FIGURES: Final = """\
## Figures
On the test splits, as a worker scores them. How windows of a long text become one score was chosen with
Wikipedia-1492 in sight.
"""
_FAILURES: Final = """\
## Known failures
- It learned data sets. On carefully contrasted sentences (counter-speech, quoted slurs, irony, dehumanising hate without a bad
  word) it errs often; `hatemoji` above shows how often.
- Chinese insults aimed at one person, Chinese threats, self-harm, sexual and advertising texts were learned mostly from
  sentences written by hand for this project: what is phrased otherwise may pass.
- `illicit` knows prompts to a language model and little else; `spam` knows English text messages of the 2000s.
- It scores a comment alone: neither the thread nor the picture is known. Dialects and reclaimed words are judged too harshly.
"""


def model_card(manifest: BundleManifest) -> str:
    """Markdown; raises KeyError where the manifest has no figures yet (`training.evaluate` writes them)."""
    figures: Any = manifest.metrics
    headlines = _table(("figure", "value"), figures["headlines"].items())
    shares = ((name, f"{share:.1%}") for name, share in figures["harmless_flagged"].items())
    parts = [
        _head(manifest),
        _USE,
        f"{_FIGURES}\n{headlines}",
        f"Harmless texts that the default policy flags:\n\n{_table(('set', 'flagged'), shares)}",
        _labels(manifest),
        _FAILURES,
        _made(manifest),
    ]
    return "\n".join(parts)


def _head(manifest: BundleManifest) -> str:
    windows, graphs = manifest.windows, ", ".join(model.precision for model in manifest.models)
    return (
        f"# {manifest.name} {manifest.release}\n\n"
        f"An encoder for {' and '.join(manifest.languages)} with {len(manifest.labels)} independent labels and windows of "
        f"{windows.tokens_max} tokens that overlap by {windows.overlap}.\nGraphs for ONNX Runtime: {graphs}. "
        "A text gets the same score, bit for bit, whatever shares its batch.\n"
    )


def _labels(manifest: BundleManifest) -> str:
    figures: Any = manifest.metrics["labels"]
    rows = (
        (
            label.name,
            label.grade,
            f"{figures[label.name]['positive']:,} of {figures[label.name]['texts']:,}",
            *(f"{figures[label.name][name]:.3f}" for name in ("auroc", "auprc", "f1", "calibration_error")),
            label.description,
        )
        for label in manifest.labels
    )
    head = ("label", "grade", "positive", "AUROC", "AUPRC", "F1 at 0.5", "calibration error", "what it means")
    return (
        "Over all test texts that know the label, held-out sentences written by hand for this project among them:\n\n"
        + _table(head, rows)
    )


def _made(manifest: BundleManifest) -> str:
    rows = ((source.name, f"{source.rows:,}", source.licence, source.home) for source in manifest.data)
    parity = ", ".join(f"{model.precision} {model.parity_max:.3f}" for model in manifest.models)
    return (
        f"## How it was made\nFine-tuned from {manifest.base_model} (MIT; a copy of its weights once stored in 4 bits) by\n"
        "`training.prepare`, `training.finetune` (`training/runs/moderation.toml`, then `moderation-2.toml` from there on),\n"
        "`training.export`, `training.calibrate`, `training.evaluate`; about an hour on two CPU cores, no GPU.\n"
        f"Largest change of a probability against PyTorch, on 1,000 validation texts: {parity}.\n"
        f"\nIt was trained on:\n\n{_table(('data set', 'texts', 'licence', 'home'), rows)}"
    )


def _table(head: tuple[str, ...], rows: Any) -> str:  # noqa: ANN401 (rows of anything printable)
    return "".join(_lines(head, rows))


def _lines(head: tuple[str, ...], rows: Any) -> Iterator[str]:  # noqa: ANN401
    for row in (head, ("---",) * len(head), *rows):
        yield "| " + " | ".join(str(cell) for cell in row) + " |\n"
