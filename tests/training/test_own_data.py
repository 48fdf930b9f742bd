"""Your own data: files and folders of any labels become prepared texts, and what does not fit is named."""

import json
from pathlib import Path

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from training.data_card import load_card
from training.draft import draft
from training.own_data import load_data_file
from training.prepare import load_table, prepare_own, report
from training.table import Table

LABELS = '[[labels]]\nname = "complaint"\n[[labels]]\nname = "refund"\n'


def prepared(tmp_path: Path, source: str, more: str = 'task = "multi_label"') -> Table:
    (tmp_path / "data.toml").write_text(f'name = "mine"\n{more}\n{LABELS}[[sources]]\nname = "a"\n{source}\n')
    prepare_own(tmp_path / "data.toml", tmp_path / "out")
    return load_table(tmp_path / "out")


def labels(table: Table) -> dict[str, list[float | None]]:
    rows = [[None if np.isnan(value) else int(value) for value in row] for row in table.labels]
    return dict(zip(table.texts, rows, strict=True))


def test_a_column_of_values_becomes_labels_by_a_map(tmp_path: Path) -> None:
    rows = "body,kind\nit broke,Complaint\nmy money back,Refund\nboth of it,Both\nthank you,Other\nwho knows,Unsure\n"
    (tmp_path / "a.csv").write_text(rows)
    table = prepared(
        tmp_path,
        'file = "a.csv"\ntext = "body"\nlabel = "kind"\nskip = ["Unsure"]\nrows = 4\n'
        'map = { Complaint = "complaint", Refund = "refund", Both = ["complaint", "refund"], Other = [] }',
    )
    assert labels(table) == {"it broke": [1, 0], "my money back": [0, 1], "both of it": [1, 1], "thank you": [0, 0]}


def test_a_column_a_label_leaves_empty_cells_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("text\tc\tr\nit broke\t1\t\nmy money\tno\tyes\n")
    table = prepared(tmp_path, 'file = "a.tsv"\ncolumns = { complaint = "c", refund = "r" }')
    assert labels(table) == {"it broke": [1, None], "my money": [0, 1]}


def test_json_lines_may_carry_lists_of_labels_and_their_split(tmp_path: Path) -> None:
    rows = [{"text": "it broke", "label": ["complaint", "refund"], "part": "dev"}, {"text": "fine", "label": [], "part": "test"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    table = prepared(tmp_path, 'file = "a.jsonl"\nsplit = "part"')
    assert labels(table) == {"it broke": [1, 1], "fine": [0, 0]}
    assert sorted(table.splits) == ["test", "validation"]


def test_folders_and_files_of_texts_are_named_after_their_label(tmp_path: Path) -> None:
    (tmp_path / "texts/complaint").mkdir(parents=True)
    (tmp_path / "texts/complaint/1.txt").write_text("it broke\nat once")
    (tmp_path / "texts/refund.txt").write_text("my money\n\nall of it\n")
    table = prepared(tmp_path, 'folder = "texts"')
    assert labels(table) == {"it broke\nat once": [1, 0], "my money": [0, 1], "all of it": [0, 1]}


def test_what_a_source_does_not_know_stays_unknown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nit broke,complaint\nfine,\n")
    table = prepared(tmp_path, 'file = "a.csv"\nknown = ["complaint"]\nmap = { "" = [] }')
    assert labels(table) == {"it broke": [1, None], "fine": [0, None]}


def test_the_card_counts_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "text,label\n" + "".join(f"text number {n},{'complaint' if n % 2 else 'refund'}\n" for n in range(60))
    )
    table = prepared(tmp_path, 'file = "a.csv"\nlicence = "CC0"', "validation = 0.2\ntest = 0.2")
    card = load_card(tmp_path / "out")
    assert sum(of["complaint"].positive for of in card.counts.values()) == 30
    assert {split: table.splits.count(split) for split in card.counts} == card.sources[0].rows
    assert all(table.splits.count(split) > 3 for split in ("validation", "test"))
    assert "CC0" in (tmp_path / "out/README.md").read_text()
    assert set(card.shards) == {"train-000.jsonl", "validation-000.jsonl", "test-000.jsonl"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('file = "a.csv"', "'odd' .1 rows"),
        ('file = "a.csv"\nskip = ["odd"]\nrows = 5', "1 rows, and there should be 5"),
        ('file = "b.csv"', "there is no"),
        ('file = "a.csv"\ntext = "body"', "no 'body'; it has text, label"),
        ('file = "a.csv"\ncolumns = { complaint = "label" }', "neither 0, 1 nor empty"),
        ('file = "a.csv"\nmap = { odd = "anger" }', "no such label: anger"),
        ('file = "a.csv"\nfolder = "b"', "a file or a folder"),
        ('file = "a.csv"\nspeed = 1', "speed"),
        ('file = "a.csv"\nskip = ["odd"]\nsplit = "text"', "is no split"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, source: str, said: str) -> None:
    (tmp_path / "a.csv").write_text("text,label\nit broke,complaint\nwhat,odd\n")
    with pytest.raises(ConfigurationError, match=said):
        prepared(tmp_path, source)


@pytest.mark.parametrize(
    "content", ["name = ", 'name = "mine"\nsources = []', 'name = "My Own"\n[[sources]]\nname = "a"\nfile = "b"']
)
def test_a_data_file_that_cannot_be_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "data.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=r"data\.toml"):
        load_data_file(tmp_path / "data.toml")


def test_a_draft_names_each_value_and_can_be_prepared_as_it_stands(tmp_path: Path) -> None:
    rows = [f"text number {number},{('Very Bad', '好', 'fine')[number % 3]}" for number in range(90)]
    (tmp_path / "a.csv").write_text("body,kind\n" + "\n".join(rows))
    (tmp_path / "data.toml").write_text(draft(tmp_path / "a.csv", "body", "kind"))
    card = prepare_own(tmp_path / "data.toml", tmp_path / "out")
    assert (card.name, card.task, set(card.names)) == ("a", "single_label", {"very_bad", "label", "fine"})
    assert sum(counts["very_bad"].positive for counts in card.counts.values()) == 30


@pytest.mark.parametrize(
    ("task", "harmless", "said"),
    [
        ("single_label", (False, False), "no label is marked harmless"),
        ("single_label", (True, True), ""),  # topics
        ("single_label", (False, True), ""),
        ("multi_label", (False, False), ""),  # rows without any label are harmless there
    ],
)
def test_labels_none_of_which_is_harmless_are_told_before_anything_is_trained(
    tmp_path: Path, task: str, harmless: tuple[bool, bool], said: str
) -> None:
    (tmp_path / "a.csv").write_text("text,label\nit broke,complaint\nmoney back,refund\n")
    prepared(tmp_path, 'file = "a.csv"', f'task = "{task}"')
    card = load_card(tmp_path / "out")
    marked = [label.model_copy(update={"harmless": each}) for label, each in zip(card.labels, harmless, strict=True)]
    notes = [line for line in report(card.model_copy(update={"labels": tuple(marked)})) if line.startswith("note")]
    assert len(notes) == bool(said)
    assert said in "".join(notes)


@pytest.mark.parametrize(
    ("text", "label", "said"), [("text", "kind", "no column 'text'"), ("body", "body", "90 different values")]
)
def test_a_column_that_holds_no_labels_is_not_drafted(tmp_path: Path, text: str, label: str, said: str) -> None:
    (tmp_path / "a.csv").write_text("body,kind\n" + "".join(f"text {number},a\n" for number in range(90)))
    with pytest.raises(ConfigurationError, match=said):
        draft(tmp_path / "a.csv", text, label)
