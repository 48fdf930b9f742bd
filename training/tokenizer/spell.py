"""Spells out the emoji that a vocabulary lacks: U+1F52A, until now the same unknown piece as any other, becomes "kitchen knife".

The names are those of Unicode's CLDR, in English, as the package emoji has them. They stand in the tokenizer file, as a map of
characters to texts in the form of SentencePiece (`precompiled_charsmap`, a double array and its strings), which SentencePiece
itself compiles. So whoever reads the file, training or serving, spells alike, at next to no cost. Emoji that the vocabulary
has are left to it.
"""

import base64
import io
import json
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any, Final

import emoji
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer

from training.made import MADE, WEIGHTS
from training.model import CONFIG, TOKENIZER

_LETTER: Final = "regional indicator symbol letter "
_SELECTOR: Final = "\ufe0f"
"""Asks for the coloured form of the character before it; names are often given for both together."""


def spell(base: Path, output: Path) -> int:
    """Write the encoder or finished run at `base` to `output`, with its tokenizer spelling; returns how many emoji it spells."""
    content = json.loads((base / TOKENIZER).read_text("utf-8"))
    names = {one: _name(one) for one in _unknown(Tokenizer.from_file(str(base / TOKENIZER)), content["model"])}
    for name in (CONFIG, WEIGHTS, MADE):
        if (base / name).exists():
            copyfile(base / name, output / name)
    if names:
        content["normalizer"] = _spelling(content["normalizer"], names)
    (output / TOKENIZER).write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return len(names)


def _unknown(tokenizer: Tokenizer, model: dict[str, Any]) -> list[str]:
    """The characters of emoji that become the unknown piece; none where a tokenizer has no such piece."""
    unknown = model["unk_id"] if "unk_id" in model else tokenizer.token_to_id(model.get("unk_token") or "")
    every = sorted({character for sequence in emoji.EMOJI_DATA for character in sequence})
    shown = [character for character in every if unicodedata.category(character).startswith("S")]
    return [one for one in shown if unknown in tokenizer.encode(one, add_special_tokens=False).ids]


def _name(character: str) -> str:
    """Its name in words; parts of sequences have none of their own in CLDR."""
    known = emoji.EMOJI_DATA.get(character) or emoji.EMOJI_DATA.get(character + _SELECTOR)
    if known:
        return str(known["en"]).strip(":").replace("_", " ").replace("-", " ")
    return unicodedata.name(character).lower().removeprefix(_LETTER)


def _spelling(normaliser: dict[str, Any] | None, names: Mapping[str, str]) -> dict[str, Any]:
    """The tokenizer's own normaliser after one that spells."""
    charsmap = base64.b64encode(_charsmap(names)).decode("ascii")
    steps = [{"type": "Precompiled", "precompiled_charsmap": charsmap}, *([normaliser] if normaliser else [])]
    return {"type": "Sequence", "normalizers": steps}


def _charsmap(names: Mapping[str, str]) -> bytes:
    """The compiled map. SentencePiece compiles rules only while it trains a model, so one is trained on a word and dropped."""
    model = io.BytesIO()
    with TemporaryDirectory() as folder:
        rules = Path(folder) / "rules.tsv"
        rules.write_text("".join(f"{_hex(one)}\t{_hex(f' {name} ')}\n" for one, name in names.items()), "ascii")
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["word"]),
            model_writer=model,
            vocab_size=10,
            hard_vocab_limit=False,
            normalization_rule_tsv=str(rules),
            minloglevel=2,
        )
    parsed = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())  # type: ignore[attr-defined]  # made at import
    return bytes(parsed.normalizer_spec.precompiled_charsmap)


def _hex(text: str) -> str:
    return " ".join(f"{ord(character):X}" for character in text)
