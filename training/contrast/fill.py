"""From templates to sentences: the same words in every line of a set, so that its lines differ by what flips the label alone."""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, Literal, NamedTuple

from training.contrast.codes import labels_of
from training.contrast.decorate import decorated
from training.contrast.sets import SLOT, ContrastSet, Entry, Language, entry_lists

_CHOICE: Final = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_ARTICLE: Final = re.compile(r"\ba(?= (?!eu|one\b|Eu)[aeioAEIO])")
"""Before the words of a list the article is not known."""
_TRIES_PER_FILLING: Final = 3
"""A set with few words or choices has few fillings: give up after so many tries each."""


Words = Literal["train", "held", "all"]
"""Which words fill a template: those to train on, those held out, or both."""


class Sentence(NamedTuple):
    """A finished text: `plain` is its undisguised wording, `pair` what it shares with its counterparts."""

    text: str
    plain: str
    labels: dict[str, int]
    phenomenon: str
    pair: str
    language: Language


def sentences(one: ContrastSet, fillings_max: int, words: Words, lexicon: Language | None = None) -> Iterator[Sentence]:
    """Up to `fillings_max` fillings of all lines of a set, by words of its own language or of that of `lexicon`."""
    seed = random.Random(f"{one.name} {words} {one.phenomenon}")
    lists = [_chosen(entries, words) for entries in entry_lists(lexicon or one.language, one.slots)]
    if words == "held" and not any(entry.held_out for entries in lists for entry in entries):
        return
    decks = [seed.sample(entries, len(entries)) for entries in lists]
    seen: set[tuple[str, ...]] = set()
    for turn in count():
        if len(seen) >= fillings_max or turn >= _TRIES_PER_FILLING * fillings_max:
            return
        # Each list goes round by itself, so that every word comes as often as any other.
        forms: dict[str, str] = {}
        for number, deck in enumerate(decks):
            forms |= deck[(turn + number * (turn // len(deck))) % len(deck)].forms
        texts = tuple(rendered(line.template, forms, random.Random(f"{one.name} {turn}")) for line in one.lines)
        if texts not in seen:
            seen.add(texts)
            yield from _finished(one, texts, f"{words}-{turn}")


def _chosen(entries: Sequence[Entry], words: Words) -> list[Entry]:
    """The entries of a kind; a list without a held-out word lends its others."""
    chosen = [entry for entry in entries if words == "all" or entry.held_out == (words == "held")]
    return chosen or list(entries)


def rendered(template: str, forms: dict[str, str], chance: random.Random) -> str:
    """`template` with one part of every choice and the forms in its slots."""
    chosen = _CHOICE.sub(lambda found: chance.choice(found[1].split("|")), template)
    filled = SLOT.sub(lambda found: forms[found[1]], chosen)
    return _ARTICLE.sub("an", re.sub(" {2,}", " ", filled).strip())


def _finished(one: ContrastSet, texts: Sequence[str], turn: str) -> Iterator[Sentence]:
    for line, text in zip(one.lines, texts, strict=True):
        # The seed is that of the pair: decorations tell nothing about the label.
        shown = decorated(text, one.language, random.Random(f"{one.name} {turn} dress"))
        yield Sentence(shown, text, labels_of(line.code, text), one.phenomenon, f"{one.name}-{turn}", one.language)
