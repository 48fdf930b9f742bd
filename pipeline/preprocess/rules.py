"""Reads all that decides what becomes of a job at start, so that a mistake in a file stops the process and no job."""

from pipeline.bundles import open_bundle
from pipeline.policy_book import PolicyBook
from pipeline.preprocess.prepare import Rules, ServedModel
from pipeline.preprocess.tokenise import Tokenizer
from pipeline.routing import load_routes
from pipeline.settings import Settings
from pipeline.text.language import LanguageDetector


def load_rules(settings: Settings) -> Rules:
    """Routes, policies and the tokenizer of every routed model; raises ConfigurationError or BundleError."""
    routes = load_routes(settings.routes_file)
    return Rules(
        routes=routes,
        policies=PolicyBook(settings.policies_dir),
        models={name: _served(settings, name) for name in sorted(routes.models)},
        detect_language=LanguageDetector().detect,
        tokens_max=settings.tokens_max,
        reply_prefix=settings.reply_prefix,
    )


def _served(settings: Settings, model: str) -> ServedModel:
    bundle = open_bundle(settings.models_dir / model)
    topic = settings.work_topic(bundle.manifest.name, bundle.manifest.tokenizer.sha256)
    return ServedModel(bundle, Tokenizer(bundle), topic)
