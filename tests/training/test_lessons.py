"""What each head learns, what its loss leaves out, and how well it is told to do."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from training.figures import multi_label_figures, single_label_figures
from training.finetune import finetune
from training.fit.precision import CPU_FLAGS, use_bfloat16
from training.fit.team import Team
from training.lessons.answer import best_answer, overlap
from training.lessons.tag import entities, entity_f1
from training.losses import IGNORED, answer_loss, multi_label_loss, single_label_loss, soft_single_label_loss
from training.made import Made
from training.prepare import prepare_own
from training.run_file import Run

ALONE = Team(0, 1, torch.device("cpu"))
RUN = Run(tokens_max=32, rows_per_step=8, epochs=30, learning_rate=1e-2, dropout=0, bfloat16=False, schedule="constant")


def test_unknown_labels_teach_nothing() -> None:
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]], requires_grad=True)
    multi_label_loss(logits, torch.tensor([[1.0, math.nan], [math.nan, 0.0]])).backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, False], [False, True]]


def test_smoothing_keeps_a_model_from_being_sure() -> None:
    labels, sure, less = torch.tensor([[1.0]]), torch.tensor([[12.0]]), torch.tensor([[3.0]])
    assert multi_label_loss(sure, labels) < multi_label_loss(less, labels)
    assert multi_label_loss(sure, labels, 0.1) > multi_label_loss(less, labels, 0.1)


def test_ignored_tokens_teach_nothing() -> None:
    logits = torch.randn(1, 3, 4, requires_grad=True)
    single_label_loss(logits, torch.tensor([[2, IGNORED, 0]])).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum(-1).bool().tolist() == [[True, False, True]]


def test_a_teacher_that_is_sure_is_a_label() -> None:
    logits = torch.randn(5, 3)
    classes = torch.tensor([0, 2, 1, 1, 0])
    scores = torch.nn.functional.one_hot(classes, 3).float()
    assert soft_single_label_loss(logits, scores) == pytest.approx(float(single_label_loss(logits, classes)), rel=1e-5)


def test_an_answer_is_sought_in_the_text_alone() -> None:
    logits = torch.zeros(1, 4, 2)
    logits[0, 0] = 50  # in the question
    allowed = torch.tensor([[0, 1, 1, 0]])
    assert answer_loss(logits, allowed, torch.tensor([[1, 2]])) == pytest.approx(2 * math.log(2))


def test_the_best_answer_does_not_end_before_it_begins() -> None:
    logits = torch.tensor([[0.0, 8.0], [5.0, 0.0], [0.0, 4.0]])  # 5 + 8 would be the best of all
    assert best_answer(logits, [(0, 3), (4, 7), (8, 11)], "the red fox") == (9.0, "red fox")


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("O B-PER I-PER O", [(1, 3, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")]),
        ("I-LOC I-LOC", [(0, 2, "LOC")]),  # begins without a B: CoNLL counts it
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
        ("O O", []),
    ],
)
def test_tags_become_entities(tags: str, found: list[tuple[int, int, str]]) -> None:
    assert list(entities(tags.split())) == found


def test_an_entity_counts_only_if_all_of_it_is_found() -> None:
    true, found = [{(0, 2, "PER"), (4, 5, "LOC")}], [{(0, 2, "PER"), (4, 6, "LOC")}]
    assert entity_f1(true, found) == 0.5
    assert entity_f1([set()], [set()]) == 0


@pytest.mark.parametrize(("a", "b", "share"), [("The Fox", "fox", 2 / 3), ("北京市", "北京", 0.8), ("a", "b", 0)])
def test_answers_overlap_in_words_and_in_chinese_characters(a: str, b: str, share: float) -> None:
    assert overlap(a, b) == pytest.approx(share)


def test_figures_pass_over_labels_that_say_nothing() -> None:
    logits = np.array([[3.0, -1], [-3, 0.5], [2, 0], [-2, 0]], np.float32)
    labels = np.array([[1, np.nan], [0, np.nan], [1, 0], [0, 0]], np.float32)
    figures = multi_label_figures(logits, labels)
    assert (figures["auroc"], figures["f1"], figures["accuracy"]) == (1, 1, 1)
    assert single_label_figures(logits, np.eye(2, dtype=np.float32)[[0, 1, 0, 0]])["accuracy"] == 0.75


@pytest.mark.parametrize("flag", [*CPU_FLAGS, "avx2"])
def test_bfloat16_is_used_where_the_processor_multiplies_it(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {flag: True})
    assert use_bfloat16("auto", torch.device("cpu")) == (flag in CPU_FLAGS)
    assert use_bfloat16(wanted=True, device=torch.device("cpu"))


def learn(folder: Path, base: Path) -> Made:
    return finetune(RUN, folder / "prepared", base, folder / "run", team=ALONE)


def test_one_label_of_several_is_learned(base: Path, tmp_path: Path) -> None:
    rows = [{"text": f"w{number} w{number + 1}", "label": "high" if number % 50 > 25 else "low"} for number in range(90)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = 'labels = [{ name = "low" }, { name = "high" }]'
    source = '[[sources]]\nname = "a"\nfile = "rows.jsonl"'
    (tmp_path / "data.toml").write_text(f'name = "toy"\ntask = "single_label"\n{labels}\n{source}\n')
    prepare_own(tmp_path / "data.toml", tmp_path / "prepared")
    assert learn(tmp_path, base).figures["accuracy"] > 0.5


def test_tags_of_words_are_learned(base: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    sentences = [random.integers(0, 20, 6) for _ in range(60)]  # even numbers are names
    lines = ["\n".join(f"w{word} {'B-NAME' if word % 2 == 0 else 'O'}" for word in sentence) for sentence in sentences]
    (tmp_path / "a.conll").write_text("\n\n".join(lines))
    (tmp_path / "data.toml").write_text('name = "toy"\ntask = "token"\n[[sources]]\nname = "a"\nfile = "a.conll"\n')
    card = prepare_own(tmp_path / "data.toml", tmp_path / "prepared")
    assert card.names == ("O", "B-NAME")
    assert learn(tmp_path, base).figures["f1"] > 0.9


def test_answers_are_learned(base: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    rows = []
    for _ in range(60):
        words = [f"w{number}" for number in random.integers(0, 20, 8)]
        at = int(random.integers(0, 8))
        words[at] = "w250"  # the answer is always this word
        context = " ".join(words)
        rows.append({"question": "w251", "context": context, "answers": [{"text": "w250", "start": context.index("w250")}]})
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "data.toml").write_text('name = "toy"\ntask = "answer"\n[[sources]]\nname = "a"\nfile = "a.jsonl"\n')
    prepare_own(tmp_path / "data.toml", tmp_path / "prepared")
    assert learn(tmp_path, base).figures["accuracy"] > 0.9
