"""The model card of a bundle, from its manifest alone: README.md in its folder."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from schemas.bundles import BundleManifest
from training.card_words import MODERATION, OWN, Words
from training.labels import NAMES
from training.page import table

_QUALITY: Final = ("auroc", "auprc", "f1", "calibration_error")
_QUALITY_HEAD: Final = ("positive", "AUROC", "AUPRC", "F1 at 0.5", "calibration error")
GROUPS_SHOWN: Final = 5
"""Groups of people with the highest false-positive rates that the card names."""
Figures = Mapping[str, Any]


def model_card(manifest: BundleManifest) -> str:
    """Markdown; what the manifest has no figures of is left out (`training.evaluate` writes them)."""
    moderation = tuple(label.name for label in manifest.labels) == NAMES
    words = MODERATION if moderation else OWN
    return "\n".join([_head(manifest), words.use, words.misuse, *_figures(manifest), words.failures, *_made(manifest, words)])


def _head(manifest: BundleManifest) -> str:
    windows, graphs = manifest.windows, ", ".join(model.precision for model in manifest.models)
    labels = (
        f"{len(manifest.labels)} independent labels" if manifest.head == "sigmoid" else f"one of {len(manifest.labels)} labels"
    )
    exact = "bit for bit, " if all(model.precision != "fp16" for model in manifest.models) else ""
    return (
        f"# {manifest.name} {manifest.release}\n\n"
        f"An encoder for {' and '.join(manifest.languages)} with {labels} and windows of {windows.tokens_max} tokens that "
        f"overlap by {windows.overlap}.\nGraphs for ONNX Runtime: {graphs}. "
        f"A text gets the same score, {exact}whatever shares its batch. Licence: {manifest.licence}.\n"
    )


def _figures(manifest: BundleManifest) -> Iterator[str]:
    figures: Figures = manifest.metrics
    if "labels" not in figures:
        yield "## Figures\nNone yet: `training.evaluate --write` measures the bundle and puts them here.\n"
        return
    yield "## Figures\nOn texts that were not trained or calibrated on, as a worker scores them.\n"
    if figures["headlines"]:
        yield table(("figure", "value"), figures["headlines"].items())
    yield _labels(manifest)
    shares = ((name, f"{share:.1%}") for name, share in figures["harmless_flagged"].items())
    yield f"Harmless texts that the policy {figures.get('policy', 'default')} flags:\n\n{table(('set', 'flagged'), shares)}"
    yield from _languages(figures.get("languages", {}))
    yield from _groups(figures)
    yield from _contrast(figures.get("contrast", {}))
    yield from _robustness(figures.get("robustness", {}))


def _labels(manifest: BundleManifest) -> str:
    figures: Figures = manifest.metrics["labels"]  # type: ignore[assignment]
    rows = ((label.name, label.grade, *_quality(figures[label.name]), label.description) for label in manifest.labels)
    return table(("label", "grade", *_QUALITY_HEAD, "what it means"), rows)


def _quality(of: Figures) -> tuple[str, ...]:
    return f"{of['positive']:,} of {of['texts']:,}", *("–" if of.get(name) is None else f"{of[name]:.3f}" for name in _QUALITY)


def _languages(languages: Figures) -> Iterator[str]:
    rows = [
        (language, label, *_quality(of))
        for language, labels in languages.items()
        for label, of in labels.items()
        if of["positive"]
    ]
    if rows:
        yield f"By language:\n\n{table(('language', 'label', *_QUALITY_HEAD), rows)}"


def _groups(figures: Figures) -> Iterator[str]:
    for name, groups in figures.get("groups", {}).items():
        worst = sorted(groups, key=lambda group: -groups[group]["false_positive_rate"])[:GROUPS_SHOWN]
        columns = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
        rows = (
            (group, *(f"{groups[group][at]:.3f}" for at in columns), f"{groups[group]['false_positive_rate']:.1%}")
            for group in worst
        )
        ratio = figures["worst_group"].get(name)
        said = f"; {ratio[0]} is flagged {ratio[1]} times as often as the mean of {len(groups)} groups" if ratio else ""
        head = ("group", "subgroup AUC", "BPSN AUC", "BNSP AUC", "harmless flagged")
        yield f"Groups of people, {name}{said} (Borkan et al., 2019):\n\n{table(head, rows)}"


def _contrast(contrast: Figures) -> Iterator[str]:
    rows = [(name, of["sentences"], f"{of['right']:.1%}", f"{of.get('pairs_right', 0):.1%}") for name, of in contrast.items()]
    if rows:
        head = ("phenomenon", "sentences", "flagged rightly", "sets of which all are")
        yield f"Held-out sentences of which a small change flips the label:\n\n{table(head, rows)}"


def _robustness(robustness: Figures) -> Iterator[str]:
    rows = [
        (language, name, f"{of['auroc_before']:.3f} → {of['auroc']:.3f}", f"{of['flagged_before']:.1%} → {of['flagged']:.1%}")
        for language, disguises in robustness.items()
        for name, of in disguises.items()
        if name != "texts"
    ]
    if rows:
        yield f"Disguised texts:\n\n{table(('language', 'disguise', 'AUROC', 'harmful texts flagged'), rows)}"


def _made(manifest: BundleManifest, words: Words) -> Iterator[str]:
    figures: Figures = manifest.metrics
    yield f"## How it was made\nFine-tuned from {manifest.base_model}. {words.reproduce}\n"
    runs = [
        (run["name"], f"{run['rows']:,}", f"{run['steps']:,}", f"{run['seconds'] / 60:,.0f} min", run["machine"], run["energy"])
        for run in figures.get("training", ())
    ]
    if runs:
        yield table(("run", "rows", "steps", "time", "machine", "energy"), runs)
    parity = [
        (name, *(f"{of.get(at, 0):.4f}" for at in ("mean", "largest", "decisions_changed", "batch")))
        for name, of in figures.get("export", {}).items()
    ]
    if parity:
        head = ("graph", "mean change against PyTorch", "largest", "decisions changed", "moves with its batch by")
        yield f"Probabilities of the graphs against PyTorch in fp32:\n\n{table(head, parity)}"
    rows = ((source.name, f"{source.rows:,}", source.licence, source.home) for source in manifest.data)
    yield f"It was trained on:\n\n{table(('data set', 'texts', 'licence', 'home'), rows)}"
