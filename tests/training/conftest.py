"""A classifier of toy size, as training makes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from tests.support.toy import LABELS
from training.data_card import (
    DataCard,
    LabelCard,
    SourceCard,
    checksums,
    label_counts,
    language_counts,
    source_counts,
    write_card,
)
from training.finetune import finetune
from training.fit.team import Team
from training.labels import NAMES
from training.model import Classifier
from training.run_file import Run
from training.table import Table, write_shards

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


def prepared_toy(folder: Path, names: tuple[str, ...] = NAMES, task: str = "multi_label", *, words: bool = False) -> None:
    """24 rows to learn from and 12 to validate with, as `training.prepare` leaves them, of words that the toy knows."""
    random = np.random.default_rng(2)
    rows = []
    for number in range(36):
        text = " ".join(f"w{word}" for word in random.integers(0, 200, random.integers(3, 12)))
        labels = {names[0]: int(random.integers(0, 2)), **({"threat": 1} if number < 3 and "threat" in names else {})}
        content = {"words": text.split(), "tags": [names[0]] * len(text.split())} if words else {"text": text, "labels": labels}
        rows.append({**content, "split": "train" if number < 24 else "validation", "source": "toy"})
    write_prepared(folder, rows, names, task)


def prepare_table(folder: Path, table: Table) -> None:
    """The same of a table."""
    write_prepared(folder, list(table.rows()), table.names)


def write_prepared(
    folder: Path, rows: list[dict[str, Any]], names: tuple[str, ...], task: str = "multi_label", *, harmless: bool = False
) -> None:
    files = write_shards(folder, rows)
    card = DataCard(
        name="toy",
        task=task,
        labels=tuple(LabelCard(name=name, harmless=harmless) for name in names),
        sources=tuple(
            SourceCard(name=name, language="en", licence="CC0", home="here", rows=counts)
            for name, counts in source_counts(rows).items()
        ),
        counts=label_counts(rows, names) if "labels" in rows[0] else {},
        languages=language_counts(rows),
        characters={},
        dropped={},
        shards=checksums(files),
    )
    write_card(folder, card)


TINY = Run(tokens_max=16, rows_per_step=8, learning_rate=1e-3, bfloat16=False, dropout=0, seed=5)


def trained(folder: Path, base: Path, names: tuple[str, ...] = NAMES) -> Path:
    """A finished run over the toy's rows, which are prepared in `folder`."""
    prepared_toy(folder / "prepared", names)
    finetune(TINY, folder / "prepared", base, folder / "state", team=Team(0, 1, torch.device("cpu")))
    return folder / "state"


def toy_table(rows: int = 30) -> Table:
    """Texts for the toy bundle; every third is an insult."""
    texts = [("you idiot" if number % 3 == 0 else "hello friend") + " filler" * (number % 5) for number in range(rows)]
    labels = np.full((rows, len(LABELS)), np.nan, np.float32)
    labels[:, 0] = [number % 3 == 0 for number in range(rows)]
    notes = {"language": ["en"] * rows, "phenomenon": [""] * rows, "pair": [""] * rows}
    return Table(texts, labels, ["test"] * rows, ["mine"] * rows, LABELS, notes)
