"""Models to pretrain: a BERT or a GPT-2 of any size, or the encoder of a base with a fresh masked-token head."""

from pathlib import Path
from typing import Any, Final

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel
from transformers.utils import logging

from schemas.errors import ConfigurationError
from training.model import TOKENIZER
from training.pretrain.blocks import token_id
from training.pretrain.config import Pretraining

WIDENING: Final = 4
"""The middle of a layer is so many times as wide as its ends."""


def model_of(run: Pretraining, tokenizer: Tokenizer, base: Path | None) -> Any:  # noqa: ANN401 (transformers is untyped)
    """The model before its first step; raises ConfigurationError where base and tokenizer do not fit."""
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if base is None:
        return _masked(run, tokenizer) if run.objective == "masked" else _causal(run, tokenizer)
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # of a head that is fresh on purpose
    kind = BertForMaskedLM if run.objective == "masked" else GPT2LMHeadModel
    model = kind.from_pretrained(base, dtype=torch.float32)
    if model.config.vocab_size < tokenizer.get_vocab_size():
        raise ConfigurationError(f"{base}: its table has {model.config.vocab_size:,} rows, too few for the tokenizer")
    return model


def _masked(run: Pretraining, tokenizer: Tokenizer) -> BertForMaskedLM:
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=run.width,
        num_hidden_layers=run.layers,
        num_attention_heads=run.heads,
        intermediate_size=WIDENING * run.width,
        max_position_embeddings=run.positions_max,
        hidden_dropout_prob=run.dropout,
        attention_probs_dropout_prob=run.dropout,
        pad_token_id=token_id(tokenizer, "<pad>"),
    )
    return BertForMaskedLM(config)  # type: ignore[no-untyped-call]


def _causal(run: Pretraining, tokenizer: Tokenizer) -> GPT2LMHeadModel:
    begin, end = (token_id(tokenizer, name) for name in ("<s>", "</s>"))
    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=run.positions_max,
        n_embd=run.width,
        n_layer=run.layers,
        n_head=run.heads,
        resid_pdrop=run.dropout,
        embd_pdrop=run.dropout,
        attn_pdrop=run.dropout,
        bos_token_id=begin,
        eos_token_id=end,
        pad_token_id=token_id(tokenizer, "<pad>"),
    )
    return GPT2LMHeadModel(config)  # type: ignore[no-untyped-call]


def save(model: Any, run: Pretraining, tokenizer: Tokenizer, folder: Path) -> None:  # noqa: ANN401
    """Write the model as transformers reads it: of a masked one the encoder alone, which is a base for fine-tuning."""
    (model.bert if run.objective == "masked" else model).save_pretrained(folder)
    tokenizer.save(str(folder / TOKENIZER))


def written_on(model: Any, tokenizer: Tokenizer, tokens: int = 60, seed: int = 1) -> str:  # noqa: ANN401
    """What a causal model writes on from nothing."""
    torch.manual_seed(seed)
    begin = torch.tensor([[token_id(tokenizer, "<s>")]], device=model.device)
    room = min(tokens, model.config.n_positions - 1)
    found = model.generate(begin, attention_mask=torch.ones_like(begin), max_new_tokens=room, do_sample=True, top_p=0.9)
    return tokenizer.decode(found[0].tolist())
