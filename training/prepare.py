"""Data sets to shards of normalised texts, labels and splits, ready for a tokenizer, with a card that tells what lies there.

    python -m training.prepare --data ../shared/data --output runs/data             # the moderation sets
    python -m training.prepare --own tickets.toml --output runs/tickets             # your own; training.own_data tells the form
    python -m training.prepare --own tickets.toml --data FOLDER --output runs/both  # together; what a set does not know is masked

A text is normalised exactly as serving does it, belongs to one split whatever set it stands in, and its unknown labels are left
out. Rows without a split of their own get one from the hash of their text, so adding a set moves no other row.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from schemas.errors import ConfigurationError
from training.command import parser, run
from training.data_card import (
    DataCard,
    LabelCard,
    SourceCard,
    Task,
    checksums,
    label_cards,
    label_counts,
    language_counts,
    load_card,
    source_counts,
    text_lengths,
    write_card,
)
from training.examples import examples
from training.gather import Line, lines
from training.labels import MODERATION as MODERATION_LABELS
from training.labels import NAMES
from training.own_data import DataFile, OwnSource, load_data_file
from training.own_rows import sources_of
from training.sources import MODERATION, Source
from training.splits import MODERATION_SHARES, Shares
from training.table import SPLITS, Table, read_shards, table_of, write_shards


def prepare(sources: Sequence[Source], data: Path, names: Sequence[str] = NAMES) -> Table:
    """All rows of `sources` under `data`, each text once."""
    return table_of(lines(sources, data, MODERATION_SHARES, Counter()), names)


def load_table(folder: Path) -> Table:
    """The texts that were prepared in `folder`; raises FileNotFoundError."""
    return table_of(read_shards(folder), load_card(folder).names)


def write(folder: Path, card: DataCard, rows: Sequence[Line]) -> DataCard:
    """Write shards and `card`, completed by what `rows` are; returns the card."""
    text = {"token": "words", "answer": "context"}.get(card.task, "text")
    labelled = card.task in {"multi_label", "single_label"}
    own = source_counts(rows)
    files = write_shards(folder, rows)
    whole = card.model_copy(
        update={
            "sources": tuple(
                source.model_copy(update={"rows": own[source.name]}) for source in card.sources if source.name in own
            ),
            "counts": label_counts(rows, card.names) if labelled else {},
            "languages": language_counts(rows),
            "characters": text_lengths(rows, text),
            "shards": checksums(files),
        }
    )
    write_card(folder, whole)
    return whole


def _blank(name: str, task: Task, labels: Iterable[LabelCard], sources: Iterable[Source | OwnSource]) -> DataCard:
    cards = (SourceCard(name=one.name, language=one.language, licence=one.licence, home=one.home, rows={}) for one in sources)
    return DataCard(
        name=name,
        task=task,
        labels=tuple(labels),
        sources=tuple(cards),
        counts={},
        languages={},
        characters={},
        dropped={},
        shards={},
    )


def prepare_moderation(data: Path, output: Path) -> DataCard:
    """The built-in sets under `data`, written to `output`."""
    dropped = Counter[str]()
    rows = list(lines(MODERATION, data, MODERATION_SHARES, dropped))
    card = _blank("moderation", "multi_label", label_cards(MODERATION_LABELS), MODERATION)
    return write(output, card.model_copy(update={"dropped": dict(dropped)}), rows)


def prepare_own(file: Path, output: Path, data: Path | None = None) -> DataCard:
    """What a data file names, written to `output`; with `data`, together with the built-in sets there."""
    own = load_data_file(file)
    if own.task in {"token", "answer"}:
        return _prepare_examples(own, file.parent, output)
    if data and own.task != "multi_label":
        raise ConfigurationError(f"data file {file}: only multi_label goes together with the moderation sets")
    sources = [*sources_of(own, file.parent), *(MODERATION if data else ())]
    others = [label for label in label_cards(MODERATION_LABELS) if label.name not in own.names] if data else []
    dropped = Counter[str]()
    rows = list(lines(sources, data or file.parent, Shares(own.validation, own.test), dropped))
    card = _blank(own.name, own.task, [*own.labels, *others], sources)
    return write(output, card.model_copy(update={"dropped": dict(dropped)}), rows)


def _prepare_examples(own: DataFile, folder: Path, output: Path) -> DataCard:
    rows = list(examples(own, folder))
    tags = sorted({tag for row in rows for tag in row.get("tags", ())}, key=lambda tag: (tag != "O", tag))
    labels = own.labels or [LabelCard(name=tag) for tag in tags]
    return write(output, _blank(own.name, own.task, labels, own.sources), rows)


def report(card: DataCard) -> Iterator[str]:
    """How many texts each split holds, and how many carry each label; and what would stop the export, hours later."""
    for split in SPLITS:
        texts = sum(source.rows.get(split, 0) for source in card.sources)
        counts = ", ".join(f"{name} {of.positive:,}" for name, of in card.counts.get(split, {}).items())
        yield f"{split}: {texts:,} rows" + (f"; {counts}" if counts else "")
    if card.task == "single_label" and not card.harmless:
        yield (
            "note: no label is marked harmless, so every text asks for something, and training.export finds none that proves the "
            "model right to allow: mark in the data file what asks for nothing (of topics, every label), and prepare again"
        )


def main() -> None:
    """Prepare, and say what came of it."""
    arguments = parser(__doc__)
    arguments.add_argument("--own", type=Path, help="a data file that names your own files and labels")
    arguments.add_argument("--data", type=Path, help="folder of the built-in data sets")
    arguments.add_argument("--output", type=Path, required=True, help="folder of the shards and the card")
    given = arguments.parse_args()
    if given.own:
        card = prepare_own(given.own, given.output, given.data)
    elif given.data:
        card = prepare_moderation(given.data, given.output)
    else:
        arguments.error("name --own FILE, --data FOLDER, or both")
    print(*report(card), sep="\n")
    print(f"written to {given.output}; its README.md tells the details")


if __name__ == "__main__":
    run(main)
