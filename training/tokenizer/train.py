"""Trains a tokenizer on plain texts: Unigram (pieces that explain the texts best) or byte-level BPE (no text is unknown)."""

from collections.abc import Iterable
from typing import Final, Literal

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIAL: Final = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
"""Their ids are their places; the encoder's configuration says pad is 1."""
Kind = Literal["unigram", "bpe"]


def train(texts: Iterable[str], kind: Kind, vocabulary: int) -> Tokenizer:
    """A tokenizer of at most `vocabulary` pieces that frames a text as `<s> … </s>`."""
    tokenizer = _unigram(texts, vocabulary) if kind == "unigram" else _bpe(texts, vocabulary)
    frame = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=frame
    )
    return tokenizer


def _unigram(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        unk_token="<unk>",  # noqa: S106 (a token, no password)
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _bpe(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
