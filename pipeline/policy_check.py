"""What is odd about a policy that is not wrong: thresholds that never hold, labels that nobody scores, phrases said twice."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pipeline.bundles import open_bundle
from pipeline.policies import LoadedPolicy
from pipeline.routing import load_routes
from pipeline.settings import Settings
from pipeline.text.phrases import LISTS, PhraseBook
from schemas.bundles import BundleManifest
from schemas.policies import Policy, Threshold

_PRIMARY_SUBTAG: Final = re.compile(r"[a-z]{2,3}")


def models_of(settings: Settings, tenant: str) -> list[BundleManifest]:
    """The models that may score texts of the tenant; raises ConfigurationError or BundleError."""
    routes = load_routes(settings.routes_file).routes
    names = sorted({route.model for route in routes if not route.tenant or tenant in route.tenant})
    return [open_bundle(settings.models_dir / name).manifest for name in names]


def oddities(loaded: LoadedPolicy, models: Sequence[BundleManifest]) -> list[str]:
    """One sentence each; what is said of labels is measured against `models`."""
    policy = loaded.policy
    return [
        *_unknown(policy, {label.name for model in models for label in model.labels}),
        *_never(policy.labels),
        *(said for language, labels in policy.languages.items() for said in _language(language, labels, policy)),
        *(_phrases(loaded.phrases) if loaded.phrases else ()),
    ]


def _unknown(policy: Policy, known: set[str]) -> Iterator[str]:
    if not known:
        return
    for path, labels in {"labels": policy.labels, **{f"languages.{name}": of for name, of in policy.languages.items()}}.items():
        for name in sorted(labels.keys() - known):
            yield f"{path}.{name}: no model that serves this tenant has this label; they have {', '.join(sorted(known))}"
    given = policy.labels.keys() | {name for labels in policy.languages.values() for name in labels}
    if missing := sorted(known - given):
        yield f"labels of the model without a threshold never move the verdict: {', '.join(missing)}"


def _never(labels: Mapping[str, Threshold]) -> Iterator[str]:
    silent = [name for name, threshold in labels.items() if threshold == Threshold()]
    mild = [name for name, threshold in labels.items() if threshold.block is None and name not in silent]
    if silent:
        yield f"labels without review and block never move the verdict: {', '.join(silent)}"
    if mild:
        yield f"labels with review and without block never block by score: {', '.join(mild)}"


def _language(language: str, labels: Mapping[str, Threshold], policy: Policy) -> Iterator[str]:
    if not _PRIMARY_SUBTAG.fullmatch(language):
        yield f"languages.{language}: texts have primary subtags such as zh, so this never holds"
    for name, threshold in labels.items():
        general = policy.labels.get(name, Threshold())
        for action in ("review", "block"):
            if getattr(threshold, action) is None and getattr(general, action) is not None:
                yield f"languages.{language}.{name}: replaces the whole of labels.{name}, so {action} never happens by score"


def _phrases(book: PhraseBook) -> Iterator[str]:
    for entries in book.repeated:
        yield f"words: {' and '.join(f'phrase {number} of {name}' for name, number in entries)} are the same once folded"
    for name in LISTS:
        for number, phrase in book.lists.get(name, ()):
            if len(phrase) == 1 and phrase.isascii():
                yield f"words.{name}, phrase {number}: a single letter, digit or sign"
