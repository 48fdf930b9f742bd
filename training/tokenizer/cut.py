"""Cuts the vocabulary of a base encoder down to what a corpus uses: the embedding table is most of a small multilingual model.

What is kept: special tokens, every piece that the corpus uses often enough, and each single character of the corpus, so that
a word whose piece is gone is still spelled out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from schemas.errors import ConfigurationError
from training.model import CONFIG, TOKENIZER

WEIGHTS: Final = "model.safetensors"
BATCH: Final = 1000
Content = dict[str, Any]


def cut(base: Path, texts: Iterable[str], output: Path, *, uses_min: int = 1, vocabulary: int | None = None) -> int:
    """Write the base encoder with the smaller vocabulary to `output`; returns how many pieces it has.

    `vocabulary` keeps the most frequent ones only. Raises ConfigurationError for a kind of tokenizer that cannot be cut.
    """
    uses, characters = _uses(Tokenizer.from_file(str(base / TOKENIZER)), texts)
    content: Content = json.loads((base / TOKENIZER).read_text("utf-8"))
    frequent = [number for number, count in uses.most_common(vocabulary) if count >= uses_min]
    kept = sorted(_kept(content, set(frequent), characters))
    output.mkdir(parents=True, exist_ok=True)
    (output / TOKENIZER).write_text(json.dumps(_smaller(content, kept), ensure_ascii=False), "utf-8")
    _write_model(base, output, kept)
    return len(kept)


def _uses(tokenizer: Tokenizer, texts: Iterable[str]) -> tuple[Counter[int], set[str]]:
    uses, characters, batch = Counter[int](), set[str](), list[str]()
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count() -> None:
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            uses.update(encoding.ids)
        batch.clear()

    for text in texts:
        batch.append(text)
        characters.update(tokenizer.normalizer.normalize_str(text) if tokenizer.normalizer else text)
        if len(batch) == BATCH:
            count()
    count()
    return uses, characters


def _kept(content: Content, used: set[int], characters: set[str]) -> set[int]:
    kept = used | {token["id"] for token in content["added_tokens"]}
    pieces = _pieces(content["model"])
    bpe = content["model"]["type"] == "BPE"
    kept |= {number for piece, number in pieces.items() if len(piece) == 1 and (bpe or piece in characters or piece == "▁")}
    if bpe:
        _close(content["model"], pieces, kept)
    return kept


def _pieces(model: Content) -> dict[str, int]:
    """Every piece's number."""
    if model["type"] == "Unigram":
        return {piece: number for number, (piece, _) in enumerate(model["vocab"])}
    if model["type"] in {"BPE", "WordPiece", "WordLevel"}:
        return dict(model["vocab"])
    raise ConfigurationError(f"a tokenizer of type {model['type']} cannot be cut")


def _close(model: Content, pieces: Mapping[str, int], kept: set[int]) -> None:
    """Add what kept pieces are merged from: a merge needs both of its parts, in whatever order they were learned."""
    for left, right in reversed(_merges(model)):
        if pieces[left + right] in kept:
            kept |= {pieces[left], pieces[right]}


def _merges(model: Content) -> list[tuple[str, str]]:
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"])
    return [(left, right) for left, right in pairs]


def _smaller(content: Content, kept: Sequence[int]) -> Content:
    """The tokenizer file with new numbers."""
    new = {old: number for number, old in enumerate(kept)}
    added = [{**token, "id": new[token["id"]]} for token in content["added_tokens"]]
    return {
        **content,
        "added_tokens": added,
        "model": {**content["model"], **_smaller_model(content["model"], new)},
        "post_processor": _framing(content, new),
    }


def _smaller_model(model: Content, new: Mapping[int, int]) -> Content:
    if model["type"] == "Unigram":
        return {"vocab": [entry for old, entry in enumerate(model["vocab"]) if old in new], "unk_id": new[model["unk_id"]]}
    vocab = {piece: new[old] for piece, old in model["vocab"].items() if old in new}
    if model["type"] != "BPE":
        return {"vocab": vocab}
    return {"vocab": vocab, "merges": [pair for pair in _merges(model) if "".join(pair) in vocab]}


def _framing(content: Content, new: Mapping[int, int]) -> Any:  # noqa: ANN401 (the library's own form)
    framing = content.get("post_processor")
    if not framing or framing["type"] != "TemplateProcessing":
        return framing
    special = {name: {**of, "ids": [new[number] for number in of["ids"]]} for name, of in framing["special_tokens"].items()}
    return {**framing, "special_tokens": special}


def _write_model(base: Path, output: Path, kept: Sequence[int]) -> None:
    config: Content = json.loads((base / CONFIG).read_text("utf-8"))
    before = config["vocab_size"]
    if kept[-1] >= before:
        raise ConfigurationError(f"{base}: its tokenizer has more pieces than its table of {before:,}")
    weights = load_file(base / WEIGHTS)
    smaller = {name: value[list(kept)].contiguous() if value.shape[:1] == (before,) else value for name, value in weights.items()}
    save_file(smaller, output / WEIGHTS, {"format": "pt"})
    ids = {
        name: kept.index(config[name])
        for name in ("pad_token_id", "bos_token_id", "eos_token_id")
        if config.get(name) is not None
    }
    (output / CONFIG).write_text(json.dumps({**config, **ids, "vocab_size": len(kept)}, indent=2), "utf-8")
