"""A classifier of toy size, as training makes it."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from training.labels import NAMES
from training.model import Classifier

torch.set_num_threads(1)
"""Threads of toys wait for each other longer than they work, all the more on a busy machine."""
WIDTH, LAYERS, HEADS, VOCABULARY = 32, 2, 4, 300


def toy_encoder() -> BertModel:
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=64,
        pad_token_id=1,
    )
    return BertModel(config, add_pooling_layer=False)


@pytest.fixture
def classifier() -> Classifier:
    return Classifier(toy_encoder(), len(NAMES)).eval()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A base encoder on disk, with a tokenizer of single words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: PLC0415

    folder = tmp_path / "base"
    toy_encoder().save_pretrained(folder)
    words = ("<s>", "<pad>", "</s>", "<unk>", *(f"w{number}" for number in range(VOCABULARY - 4)))
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
