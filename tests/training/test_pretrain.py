"""Tokenizers and pretraining: from plain texts to an encoder that fine-tuning takes, or to a model that writes on."""

import json
import math
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModel

from schemas.errors import ConfigurationError
from training.fit.journal import entries
from training.fit.team import Team
from training.losses import IGNORED
from training.model import from_pretrained
from training.plain_text import held_out, texts
from training.pretrain.__main__ import pretrain
from training.pretrain.blocks import blocks
from training.pretrain.config import Pretraining
from training.pretrain.lesson import LanguageModelling
from training.pretrain.models import model_of
from training.run_file import load_config
from training.tokenizer.__main__ import make
from training.tokenizer.cut import cut
from training.tokenizer.spell import spell
from training.tokenizer.train import SPECIAL, Kind, train

ALONE = Team(0, 1, torch.device("cpu"))
RUNS = Path(__file__).parents[2] / "training/runs"
SENTENCES = [
    f"{who} {does} {what} {when}"
    for who in ("the fox", "a hen", "one dog", "my cat", "小狐狸")
    for does in ("eats", "sees", "hides", "buries")
    for what in ("a bone", "the corn", "my shoe", "一条鱼")
    for when in ("today", "at night", "every morning")
]


def run(objective: str, **changes: object) -> Pretraining:
    small = {
        "tokens_max": 16,
        "width": 32,
        "layers": 1,
        "heads": 2,
        "positions_max": 32,
        "rows_per_step": 16,
        "learning_rate": 3e-3,
    }
    return Pretraining.model_validate({"objective": objective, **small, "bfloat16": False, "dropout": 0, **changes})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `texts` and a `tokenizer` made of them."""
    folder = tmp_path_factory.mktemp("language")
    (folder / "texts").mkdir()
    (folder / "texts/all.txt").write_text("\n\n".join(SENTENCES), "utf-8")
    (folder / "tokenizer").mkdir()
    train(SENTENCES, "bpe", 400).save(str(folder / "tokenizer/tokenizer.json"))
    return folder


def test_texts_are_found_in_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\nstill one\n \ntwo\n\n\n")
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n')
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/c.json").write_text(json.dumps([{"paragraphs": ["four", "lines"]}, {"text": "five"}, "no text"]))
    (tmp_path / "README.md").write_text("not a text")
    assert list(texts([tmp_path])) == ["one\nstill one", "two", "three", "four\nlines", "five"]
    assert list(texts([tmp_path / "b.jsonl"])) == ["three"]


def test_of_prepared_texts_only_the_training_split_is_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / f"{split}-000.jsonl").write_text(json.dumps({"text": split}))
    (tmp_path / "card.json").write_text("{}")
    assert list(texts([tmp_path])) == ["train"]


def test_a_folder_without_texts_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no texts in"):
        list(texts([tmp_path]))


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_trained_tokenizer_frames_texts_and_gives_them_back(kind: Kind) -> None:
    tokenizer = train(SENTENCES, kind, 400)
    assert [tokenizer.token_to_id(name) for name in SPECIAL] == [0, 1, 2, 3, 4]
    encoding = tokenizer.encode("a hen eats 一条鱼")
    assert (encoding.ids[0], encoding.ids[-1]) == (0, 2)
    assert tokenizer.decode(encoding.ids).strip() == "a hen eats 一条鱼"
    assert tokenizer.encode("fox", "hen").sequence_ids.count(1) > 0


def base_of(folder: Path, kind: Kind) -> Path:
    """An encoder with a large vocabulary."""
    base = folder / "base"
    base.mkdir()
    tokenizer = train(SENTENCES, kind, 400)
    tokenizer.save(str(base / "tokenizer.json"))
    model_of(run("masked"), tokenizer, None).bert.save_pretrained(base)
    return base


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_cut_vocabulary_reads_its_corpus_as_before_with_the_same_vectors(tmp_path: Path, kind: Kind) -> None:
    base, corpus = base_of(tmp_path, kind), [text for text in SENTENCES if "hen" in text]
    kept = cut(base, corpus, tmp_path / "cut")
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (base, tmp_path / "cut"))
    assert kept == after.get_vocab_size() < before.get_vocab_size()
    assert [after.encode(text).tokens for text in corpus] == [before.encode(text).tokens for text in corpus]
    old, new = (AutoModel.from_pretrained(folder, add_pooling_layer=False).eval() for folder in (base, tmp_path / "cut"))
    with torch.inference_mode():
        for text in corpus[:3]:
            pairs = ((old, before), (new, after))
            vectors = [model(torch.tensor([own.encode(text).ids])).last_hidden_state for model, own in pairs]
            assert torch.allclose(*vectors, atol=1e-6)
    assert new.config.pad_token_id == after.token_to_id("<pad>")


def test_a_cut_vocabulary_still_spells_what_it_has_no_piece_for(tmp_path: Path) -> None:
    cut(base_of(tmp_path, "unigram"), SENTENCES, tmp_path / "cut", vocabulary=20)
    tokenizer = Tokenizer.from_file(str(tmp_path / "cut/tokenizer.json"))
    assert tokenizer.token_to_id("<unk>") not in tokenizer.encode("my shoe buries corn").ids


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_emoji_that_a_vocabulary_lacks_are_spelled_out_and_all_else_reads_as_before(tmp_path: Path, kind: Kind) -> None:
    base, output = base_of(tmp_path, kind), tmp_path / "spelling"
    output.mkdir()
    spelled = spell(base, output)
    before, after = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (base, output))
    assert [after.encode(text).ids for text in SENTENCES] == [before.encode(text).ids for text in SENTENCES]
    if kind == "bpe":  # of bytes: it lacks nothing
        assert spelled == 0
        return
    assert before.token_to_id("<unk>") in before.encode("a \U0001f98a eats").ids
    assert after.encode("a \U0001f98aeats").ids == before.encode("a fox eats").ids
    assert AutoModel.from_pretrained(output, add_pooling_layer=False).config.vocab_size == after.get_vocab_size()


@pytest.mark.parametrize("step", ["take", "cut", "spell"])
def test_a_tokenizer_is_never_written_over_its_base(tmp_path: Path, step: str) -> None:
    base = base_of(tmp_path, "unigram")
    before = (base / "tokenizer.json").read_bytes()
    given = Namespace(step=step, base=base, output=base.parent / "other" / ".." / base.name, texts=[], uses_min=1, vocabulary=20)
    with pytest.raises(ConfigurationError, match="name another folder"):
        make(given)
    assert (base / "tokenizer.json").read_bytes() == before


def test_texts_become_blocks_and_some_are_held_out(place: Path) -> None:
    tokenizer = Tokenizer.from_file(str(place / "tokenizer/tokenizer.json"))
    rows, held = blocks(SENTENCES, tokenizer, 16)
    assert rows.shape[1] == held.shape[1] == 16
    assert {*rows[:, 0], *held[:, 0]} == {0}
    assert {*rows[:, -1], *held[:, -1]} == {2}
    first = next(text for text in SENTENCES if not held_out(text))
    assert rows[0, 1:5].tolist() == tokenizer.encode(first).ids[1:5]
    with pytest.raises(ConfigurationError, match="shorter than one row"):
        blocks(["a hen"], tokenizer, 64)


def test_a_row_is_masked_the_same_in_any_company_and_anew_in_each_step(place: Path) -> None:
    tokenizer = Tokenizer.from_file(str(place / "tokenizer/tokenizer.json"))
    rows, held = blocks(SENTENCES, tokenizer, 16)
    plan = run("masked", mask_share=0.4)
    lesson = LanguageModelling(model_of(plan, tokenizer, None), plan, rows, held, tokenizer=tokenizer, team=ALONE)
    alone, among = lesson.batch(np.array([7]), 3), lesson.batch(np.array([2, 7]), 3)
    assert torch.equal(alone["input_ids"][0], among["input_ids"][1])
    assert not torch.equal(alone["targets"], lesson.batch(np.array([7]), 4)["targets"])
    asked = among["targets"] != IGNORED
    assert 0.2 < asked.float().mean() < 0.6
    assert torch.equal(among["input_ids"][~asked], torch.from_numpy(rows[[2, 7]])[~asked])


@pytest.mark.parametrize("objective", ["masked", "causal"])
def test_pretraining_makes_held_out_texts_less_surprising(place: Path, tmp_path: Path, objective: str) -> None:
    made = pretrain(run(objective, epochs=8), [place / "texts"], place / "tokenizer", tmp_path / "run", team=ALONE)
    last = [entry for entry in entries(tmp_path / "run") if "perplexity" in entry][-1]
    size = Tokenizer.from_file(str(place / "tokenizer/tokenizer.json")).get_vocab_size()
    assert last["validation_loss"] < 0.7 * math.log(size)  # a model that knows nothing has a perplexity of `size`
    assert made["figures"]["perplexity"] == pytest.approx(math.exp(last["validation_loss"]), rel=0.01)
    written = {file.name for file in (tmp_path / "run").iterdir()}
    assert {"model.safetensors", "config.json", "tokenizer.json", "made.json", "loss.png"} <= written
    assert isinstance(made.get("written_on", ""), str)
    assert pretrain(run(objective), [], place / "tokenizer", tmp_path / "run", team=ALONE)["steps"] == made["steps"]


def test_a_pretrained_encoder_is_a_base_and_can_be_gone_on_with(place: Path, tmp_path: Path) -> None:
    pretrain(run("masked"), [place / "texts"], place / "tokenizer", tmp_path / "first", team=ALONE)
    model = from_pretrained(tmp_path / "first", (), 2)
    weights = load_file(tmp_path / "first/model.safetensors")
    assert torch.equal(model.encoder.embeddings.word_embeddings.weight, weights["embeddings.word_embeddings.weight"])
    more = run("masked", learning_rate=1e-9, head_learning_rate=1e-9)
    pretrain(more, [place / "texts"], tmp_path / "first", tmp_path / "second", team=ALONE, base=tmp_path / "first")
    again = load_file(tmp_path / "second/model.safetensors")
    assert all(torch.allclose(value, again[name], atol=1e-4) for name, value in weights.items())


@pytest.mark.parametrize("file", sorted(RUNS.glob("*-[cg]pu.toml")), ids=lambda file: file.name)
def test_the_run_files_of_the_repository_can_be_read(file: Path) -> None:
    plan = load_config(file, Pretraining)
    assert plan.objective == file.name.split("-")[0]
    assert plan.width % plan.heads == 0
